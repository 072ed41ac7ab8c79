/*
 * How the pages are built: only a build writes what is served, and none without the library's files.
 */
import type { Stats } from 'node:fs'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { build, createServer, type InlineConfig } from 'vite'
import config from '../vite.config'

const SERVED = join(import.meta.dirname, '../dist')
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pages-'))
})
afterEach(() => rm(folder, { recursive: true }))

const given = { ...(config as InlineConfig), configFile: false, logLevel: 'silent' } as const

/** What lies there, and when it was written. */
async function served(): Promise<string[]> {
  const names = await readdir(SERVED).catch(() => [])
  const at = (name: string): Promise<Stats> => stat(join(SERVED, name))
  return Promise.all(names.sort().map(async (name) => `${name} ${(await at(name)).mtimeMs}`))
}

describe('the service worker', () => {
  it('is left as it was built by whatever builds nothing', async () => {
    const before = await served()
    const server = await createServer({
      ...given,
      server: { middlewareMode: true, ws: false },
      optimizeDeps: { noDiscovery: true },
    })
    await server.close()
    expect(await served()).toEqual(before)
  })
  it('is not built without the files of its page', async () => {
    await writeFile(join(folder, 'index.html'), '<!doctype html><title>Another page</title>')
    const other = { rolldownOptions: { input: join(folder, 'index.html') } }
    const built = build({
      ...given,
      root: folder,
      publicDir: false,
      build: { ...other, outDir: join(folder, 'dist') },
    })
    await expect(built).rejects.toThrow('no files of the library')
  })
})
