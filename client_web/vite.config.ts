/*
 * How the pages are built: five HTML files, each with its own entry, sharing chunks.
 *
 * Nothing is inlined as data or script, so that the pages keep the strict content security policy
 * that each HTML file names; nothing comes from another host. `classroom` and the relay serve
 * `dist/` as it is: `NAME.html` at `/NAME` and `assets/` at `/assets/`. Beside each text file lie
 * its compressed forms (.br, .gz), which the servers hand to browsers that take them.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { defineConfig } from 'vitest/config'

/** Below this a compressed file saves less than its headers cost. */
const WORTH_COMPRESSING = 512

async function compress(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(html|css|js|svg)$/.test(entry.name)) continue
    const file = join(entry.parentPath, entry.name)
    const raw = await readFile(file)
    if (raw.length < WORTH_COMPRESSING) continue
    await writeFile(`${file}.gz`, gzipSync(raw, { level: 9 }))
    await writeFile(`${file}.br`, brotliCompressSync(raw))
  }
}

export default defineConfig({
  base: '/',
  plugins: [{ name: 'compressed-forms', closeBundle: () => compress('dist') }],
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
        ['index', 'teach', 'room', 'library', 'norelay'].map((page) => [
          page,
          resolve(import.meta.dirname, `${page}.html`),
        ]),
      ),
    },
  },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
})
