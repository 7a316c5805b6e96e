// Makes the tables. Safe to run again.
'use strict';

const { pool } = require('./database');

async function main() {
  await pool.query(`CREATE TABLE IF NOT EXISTS answers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asked_at timestamptz NOT NULL DEFAULT now(),
    question text NOT NULL,
    answer text NOT NULL,
    output_tokens integer
  )`);
  console.log('migrated: table answers is there');
  await pool.end();
}

main().catch((error) => {
  console.error(`migration failed: ${error.message}`);
  process.exit(1);
});
