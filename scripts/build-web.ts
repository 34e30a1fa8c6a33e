import { createHash } from 'node:crypto'
import { globSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import type { InlineConfig } from 'vite'

const root = join(import.meta.dirname, '..')

/** Returns one hash of everything that the page is built from. With the same hash there is nothing to build. */
async function hashOfInputs(): Promise<string> {
  const hash = createHash('sha256')
  const names = [
    'package-lock.json',
    'scripts/build-web.ts',
    ...globSync(['web/**/*.*', 'examples/*.yaml'], { cwd: root }).sort(),
  ]
  for (const name of names) hash.update(`${name}\0`).update(await readFile(join(root, name)))
  return hash.digest('hex')
}

/** Returns the configuration that the build and the development server share. */
export async function webConfig(): Promise<InlineConfig> {
  const [{ default: tailwind }, { default: react }] = await Promise.all([
    import('@tailwindcss/vite'),
    import('@vitejs/plugin-react'),
  ])
  return {
    root: join(root, 'web'),
    configFile: false,
    logLevel: 'warn',
    publicDir: join(root, 'web/public'),
    plugins: [react(), tailwind()],
  }
}

/**
 * Builds the dashboard into `folder`: `index.html`, and assets below `assets/`, each also compressed as gzip and
 * brotli. Does nothing if a build of the same inputs is there. A page that is being served stays complete while it is
 * replaced.
 */
export async function buildWeb(folder: string): Promise<void> {
  const inputs = await hashOfInputs()
  const noted = join(folder, 'inputs.txt')
  if ((await readFile(noted, 'utf8').catch(() => '')) === inputs) return
  const [{ build }, config] = await Promise.all([import('vite'), webConfig()])
  const fresh = `${folder}.${process.pid}.tmp`
  await build({
    ...config,
    // Relative to index.html, whose <base> the hub sets.
    base: './',
    build: {
      outDir: fresh,
      emptyOutDir: true,
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      target: 'es2022',
      reportCompressedSize: false,
      // One file has everything that the first load needs. It is 3 KB smaller than several, and takes one request.
      rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'index', tags: ['$initial'] }] } } },
    },
  })
  for (const name of globSync('**/*.{js,css,svg,html}', { cwd: fresh })) {
    const bytes = await readFile(join(fresh, name))
    if (name === 'index.html' || bytes.length < 500) continue
    await writeFile(join(fresh, `${name}.gz`), gzipSync(bytes, { level: 9 }))
    await writeFile(
      join(fresh, `${name}.br`),
      brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
    )
  }
  await writeFile(join(fresh, 'inputs.txt'), inputs)
  await mkdir(join(folder, '..'), { recursive: true })
  await rm(folder, { recursive: true, force: true })
  await rename(fresh, folder)
}
