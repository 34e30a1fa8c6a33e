import { execFile } from 'node:child_process'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** Loaded from where they are installed: only the hub and the runner's link need them, and some read files of their own. */
const external = ['fastify', '@fastify/swagger', '@fastify/swagger-ui', 'ws']

const result = await build({
  absWorkingDir: root,
  entryPoints: { cli: 'src/cli/main.ts', index: 'src/index.ts' },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // yaml's build for browsers is the only one of it that is ESM, and half as long to load.
  alias: { yaml: 'yaml/browser' },
  external,
  chunkNames: 'chunks/[name]-[hash]',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  write: false,
})

// What is there is replaced file by file and `cli.js` last, so that a build does not disturb an `errand` being started.
const files = result.outputFiles.sort(
  (a, b) => Number(a.path.endsWith('/cli.js')) - Number(b.path.endsWith('/cli.js')),
)
for (const file of files) {
  await mkdir(dirname(file.path), { recursive: true })
  const temporary = `${file.path}.${process.pid}.tmp`
  await writeFile(temporary, file.contents)
  await rename(temporary, file.path)
}
const written = new Set(files.map((file) => relative(dist, file.path)))
for (const old of await readdir(dist, { recursive: true })) {
  if (/\.(js|tmp)$/.test(old) && !written.has(old)) await rm(join(dist, old), { force: true })
}

await promisify(execFile)(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'],
  { cwd: root },
)
