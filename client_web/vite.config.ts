/*
 * How the pages are built: six HTML files, each with its own entry, sharing chunks; and after them
 * the library's service worker, which is told the names of the library's files.
 *
 * Nothing is inlined as data or script, so that the pages keep the strict content security policy
 * that each HTML file names; nothing comes from another host. `classroom` and the relay serve
 * `dist/` as it is: `NAME.html` at `/NAME` and `assets/` at `/assets/`. Beside each text file lie
 * its compressed forms (.br, .gz), which the servers hand to browsers that take them.
 */
import { createHash } from 'node:crypto'
import { access, readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { build, type Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** Below this a compressed file saves less than its headers cost. */
const WORTH_COMPRESSING = 512

async function compress(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(html|css|js|svg|webmanifest)$/.test(entry.name)) continue
    const file = join(entry.parentPath, entry.name)
    const raw = await readFile(file)
    if (raw.length < WORTH_COMPRESSING) continue
    await writeFile(`${file}.gz`, gzipSync(raw, { level: 9 }))
    await writeFile(`${file}.br`, brotliCompressSync(raw))
  }
}

/** What is in `public/app` and belongs to the library as an app of its own. */
const APP_FILES = ['/favicon.svg', '/app/library.webmanifest', '/app/icon-192.png']

/** Everything that the library's page may ever load. */
function libraryFiles(bundle: Parameters<NonNullable<Bundled>>[1]): string[] {
  const found = new Set<string>()
  const take = (name: string): void => {
    const chunk = bundle[name]
    if (found.has(name) || chunk?.type !== 'chunk') return
    found.add(name)
    for (const css of chunk.viteMetadata?.importedCss ?? []) found.add(css)
    for (const next of [...chunk.imports, ...chunk.dynamicImports]) take(next)
  }
  for (const [name, chunk] of Object.entries(bundle))
    if (chunk.type === 'chunk' && chunk.facadeModuleId?.endsWith('/library.html') === true)
      take(name)
  return [...found].sort().map((name) => `/${name}`)
}

type Bundled = Extract<Plugin['generateBundle'], (...of: never) => unknown>

function serviceWorker(): Plugin {
  let files: string[] = []
  return {
    name: 'service-worker',
    generateBundle: {
      // After Vite has taken out the chunks that held nothing but styles.
      order: 'post',
      handler(_options, bundle) {
        const found = libraryFiles(bundle)
        if (found.length === 0) this.error('no files of the library for its service worker')
        files = [...found, ...APP_FILES]
      },
    },
    // Not `closeBundle`, which servers and tests come to, too, without having built anything.
    async writeBundle({ dir: folder = 'dist' }) {
      // One name too many, and no browser would install the worker.
      await Promise.all(files.map((name) => access(`${folder}${name}`)))
      const page = await readFile(join(folder, 'library.html'))
      const version = createHash('sha256').update(page).update(files.join()).digest('hex')
      await build({
        configFile: false,
        logLevel: 'warn',
        publicDir: false,
        define: {
          LIBRARY_FILES: JSON.stringify(files),
          LIBRARY_VERSION: JSON.stringify(version.slice(0, 12)),
        },
        build: {
          outDir: folder,
          emptyOutDir: false,
          target: ['chrome100', 'firefox102', 'safari15.4'],
          reportCompressedSize: false,
          rolldownOptions: {
            input: resolve(import.meta.dirname, 'src/worker/sw.ts'),
            output: { format: 'iife', entryFileNames: 'sw.js' },
          },
        },
      })
    },
  }
}

export default defineConfig({
  base: '/',
  plugins: [
    serviceWorker(),
    {
      name: 'compressed-forms',
      writeBundle: {
        order: 'post',
        sequential: true,
        handler: ({ dir }) => compress(dir ?? 'dist'),
      },
    },
  ],
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
        ['index', 'teach', 'room', 'library', 'status', 'norelay'].map((page) => [
          page,
          resolve(import.meta.dirname, `${page}.html`),
        ]),
      ),
    },
  },
  test: { include: ['tests/**/*.test.{ts,tsx}'], environment: 'node' },
})
