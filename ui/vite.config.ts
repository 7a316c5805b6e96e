import { svelte } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import { defineConfig } from 'vitest/config';

/** A headless engine to develop against; the real one is served from the same origin. */
const engine = process.env['COCKPIT_URL'] ?? 'http://127.0.0.1:4700';

export default defineConfig({
  // The window loads the files from its own scheme, the browser from the engine: both by relative URL.
  base: './',
  plugins: [svelte(), svelteTesting()],
  build: {
    target: ['es2022', 'safari16.4'],
    // Never a data: URL, which the window's content security policy refuses.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  // The engine answers only to its own Host and Origin.
  server: { proxy: { '/api': { target: engine, changeOrigin: true, headers: { origin: engine } } } },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.ts'],
    setupFiles: ['src/testing/canvas.ts'],
    restoreMocks: true,
  },
});
