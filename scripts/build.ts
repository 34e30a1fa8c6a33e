import { spawnSync } from 'node:child_process'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { type BuildOptions, build, type PluginBuild } from 'esbuild'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** Loaded from where they are installed: only the hub and the runner's link need them, and some read files of their own. */
const external = ['fastify', '@fastify/swagger', '@fastify/swagger-ui', 'ws']

const common: BuildOptions = {
  absWorkingDir: root,
  outdir: dist,
  bundle: true,
  platform: 'node',
  target: 'node24',
  // yaml's build for browsers is the only one of it that is ESM, which leaves out what is not used.
  alias: { yaml: join(root, 'node_modules/yaml/browser/index.js') },
  external,
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  write: false,
}
const outputs = await Promise.all([
  build({
    ...common,
    entryPoints: { index: 'src/index.ts' },
    // A program that embeds Errand writes its own actions' schemas with the same zod.
    external: [...external, 'zod'],
    format: 'esm',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  }),
  // The command line is CommonJS, which loads Node's own modules when they are used, and faster: an import touches
  // every lazy part of them. `main-run` and `main-all` are bundles of their own, so that each has its compile cache.
  ...['main', 'main-run', 'main-all'].map((name) =>
    build({
      ...common,
      entryPoints: { [name === 'main' ? 'cli' : name]: `src/cli/${name}.ts` },
      format: 'cjs',
      outExtension: { '.js': '.cjs' },
      plugins: name === 'main' ? [{ name: 'programs', setup: keepPrograms }] : [],
    }),
  ),
])

function keepPrograms({ onResolve }: PluginBuild): void {
  onResolve({ filter: /^\.\/main-\w+\.ts$/ }, ({ path }) => ({
    path: path.replace('.ts', '.cjs'),
    external: true,
  }))
}

// What is there is replaced file by file and `cli.cjs` last, so that a build does not disturb an `errand` being started.
const files = outputs.flatMap(({ outputFiles }) => outputFiles!)
files.sort((a, b) => Number(a.path.endsWith('/cli.cjs')) - Number(b.path.endsWith('/cli.cjs')))
for (const file of files) {
  await mkdir(dirname(file.path), { recursive: true })
  const temporary = `${file.path}.${process.pid}.tmp`
  await writeFile(temporary, file.contents)
  await rename(temporary, file.path)
}
const written = new Set(files.map((file) => relative(dist, file.path)))
for (const old of await readdir(dist, { recursive: true })) {
  if (/\.(c?js|tmp)$/.test(old) && !written.has(old)) await rm(join(dist, old), { force: true })
}

// For the package; a program beside its source needs none.
if (process.argv.includes('--types')) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  process.exitCode = status ?? 1
}
