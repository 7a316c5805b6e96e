// One pool for the whole process. A connection the database has dropped is an event, not a crash.
'use strict';

const { Pool } = require('pg');

const pool = new Pool({
  connectionString: process.env.DATABASE_URL,
  max: 4,
  connectionTimeoutMillis: 2000,
  query_timeout: 5000,
});
pool.on('error', (error) => console.error(`database: ${error.message}`));

module.exports = { pool };
