import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { largeCommands } from '../src/cli/startup/large-commands.ts'
import { buildWeb } from './build-web.ts'
import { lazyBuiltins } from './lazy-builtins.ts'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** Packages that are not bundled: only the hub, the runner's link and bots need them, and some read their own files. */
const external = ['fastify', '@fastify/swagger', '@fastify/swagger-ui', 'ws']

const common: BuildOptions = {
  absWorkingDir: root,
  outdir: dist,
  bundle: true,
  platform: 'node',
  target: 'node24',
  // Only yaml's build for browsers is ESM, so that the bundle can leave out unused code.
  alias: { yaml: join(root, 'node_modules/yaml/browser/index.js') },
  external,
  legalComments: 'none',
  write: false,
}
const page = buildWeb(join(dist, 'web'))
const outputs = await Promise.all([
  build({
    ...common,
    entryPoints: { index: 'src/index.ts' },
    // Not minified: Node prints the line that threw, and people debug embedding programs in this code. Such a program
    // uses the same zod for the schemas of its own actions.
    external: [...external, 'zod'],
    format: 'esm',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  }),
  // The command line is CommonJS, which loads faster. It is split into several bundles, because loading code takes most
  // of a command's time. Two bundles have different copies of the same class, so they exchange only plain values.
  ...[
    {
      name: 'cli',
      entry: 'src/cli/startup/built.ts',
      apart: ['main-client', 'main-all', 'main-hub', 'main-runner'],
    },
    { name: 'main-run', entry: 'src/cli/startup/main-run.ts', apart: ['open-sessions'] },
    { name: 'open-sessions', entry: 'src/cli/startup/open-sessions.ts', apart: [] },
    { name: 'main-hub', entry: 'src/cli/startup/main-hub.ts', apart: [] },
    { name: 'main-runner', entry: 'src/cli/startup/main-runner.ts', apart: [] },
    { name: 'main-client', entry: 'src/cli/startup/main-client.ts', apart: largeCommands },
    { name: 'main-all', entry: 'src/cli/startup/main-all.ts', apart: [] },
    { name: 'builtin-agent', entry: 'src/agents/builtin/program.ts', apart: [] },
    { name: 'container', entry: 'src/runner/containers/container-program.ts', apart: [] },
    { name: 'guard', entry: 'src/runner/orphans/guard-program.ts', apart: [] },
    { name: 'proxy', entry: 'src/runner/proxy/program.ts', apart: [] },
    { name: 'check-program', entry: 'src/engine/workflow-file/check-program.ts', apart: [] },
  ].map(({ name, entry, apart }) =>
    build({
      ...common,
      minifySyntax: true,
      minifyWhitespace: true,
      entryPoints: { [name]: entry },
      format: 'cjs',
      outExtension: { '.js': '.cjs' },
      define: { 'import.meta.dirname': '__dirname' },
      // A remaining `import()` would first load half of Node's own loader.
      supported: { 'dynamic-import': false },
      plugins: [bundlesApart(apart), lazyBuiltins(join(root, 'src'))],
    }),
  ),
])

/**
 * Escapes the characters beyond Latin-1, which esbuild leaves in regular expressions. A long-running program keeps its
 * text in memory, and one such character doubles the size of all of it.
 */
function ascii(text: string): string {
  return text.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Loads the files with these names, which the command line imports on demand, from bundles of their own. */
function bundlesApart(names: readonly string[]): Plugin {
  return {
    name: 'bundles-apart',
    setup: ({ onResolve }) =>
      onResolve({ filter: /\.ts$/ }, ({ path, importer, kind }) => {
        const name = basename(path, '.ts')
        const isApart =
          kind === 'dynamic-import' && importer.startsWith(join(root, 'src/cli/')) && names.includes(name)
        return isApart ? { path: `./${name}.cjs`, external: true } : undefined
      }),
  }
}

// Replaces files one by one, `cli.cjs` last, so that a build does not disturb an `errand` that is starting.
const files = outputs
  .flatMap(({ outputFiles }) => outputFiles!)
  .map(({ path, text }) => ({ path, contents: Buffer.from(ascii(text)) }))
  .map(({ path, contents }) => {
    if (!path.endsWith('/main-run.cjs')) return { path, contents }
    // The form that v8-code-cache.ts loads: the id under which the compiled code is cached, and a function.
    const head = '(function (exports, require, module, __filename, __dirname) {'
    const text = `${head}${contents}\n})\n`
    const id = createHash('sha256').update(text).digest('hex').slice(0, 16)
    return { path, contents: Buffer.from(`// ${id}\n${text}`) }
  })
files.sort((a, b) => Number(a.path.endsWith('/cli.cjs')) - Number(b.path.endsWith('/cli.cjs')))
for (const file of files) {
  await mkdir(dirname(file.path), { recursive: true })
  const temporary = `${file.path}.${process.pid}.tmp`
  await writeFile(temporary, file.contents)
  await rename(temporary, file.path)
}
const written = new Set(files.map((file) => relative(dist, file.path)))
for (const old of await readdir(dist, { recursive: true })) {
  if (/\.(c?js|tmp)$/.test(old) && !/^web[./]/.test(old) && !written.has(old))
    await rm(join(dist, old), { force: true })
}

await page

// The package needs type declarations; a program beside the source does not.
if (process.argv.includes('--types')) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  process.exitCode = status ?? 1
}
