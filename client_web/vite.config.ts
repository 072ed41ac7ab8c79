/*
 * How the pages are built: four HTML files, each with its own entry, sharing chunks.
 *
 * Nothing is inlined as data or script, so that the pages keep the strict content security policy
 * that each HTML file names; nothing comes from another host. `classroom` and the relay serve
 * `dist/` as it is: `NAME.html` at `/NAME` and `assets/` at `/assets/`.
 */
import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  base: '/',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: ['chrome100', 'firefox102', 'safari15.4'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // hls.js is one large chunk, loaded only by someone who plays a recording.
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      input: Object.fromEntries(
        ['index', 'teach', 'room', 'library'].map((page) => [
          page,
          resolve(import.meta.dirname, `${page}.html`),
        ]),
      ),
    },
  },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
})
