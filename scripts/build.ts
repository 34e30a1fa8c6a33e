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

/** Loaded from where they are installed: only the hub, the runner's link and bots need them, and some read files of their own. */
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
  legalComments: 'none',
  write: false,
}
const page = buildWeb(join(dist, 'web'))
const outputs = await Promise.all([
  build({
    ...common,
    entryPoints: { index: 'src/index.ts' },
    // Not minified: Node prints the line that threw, and a program that embeds Errand is debugged in it. Such a program
    // writes its own actions' schemas with the same zod.
    external: [...external, 'zod'],
    format: 'esm',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  }),
  // The command line is CommonJS, which is loaded faster, and several bundles, since most of the time that a command
  // takes is the loading of its code. A class is not the same in two of them: one that another loads is given plain
  // values and answers with such.
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
      // An `import()` that is left loads half of Node's own loader first.
      supported: { 'dynamic-import': false },
      plugins: [bundlesApart(apart), lazyBuiltins(join(root, 'src'))],
    }),
  ),
])

/**
 * A program that stays keeps its text, and one character beyond Latin-1 doubles all of it: esbuild leaves those of
 * regular expressions as they are.
 */
function ascii(text: string): string {
  return text.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** What the command line imports when it is needed is, where it has one of these names, loaded from a bundle of its own. */
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

// What is there is replaced file by file and `cli.cjs` last, so that a build does not disturb an `errand` being started.
const files = outputs
  .flatMap(({ outputFiles }) => outputFiles!)
  .map(({ path, text }) => ({ path, contents: Buffer.from(ascii(text)) }))
  .map(({ path, contents }) => {
    if (!path.endsWith('/main-run.cjs')) return { path, contents }
    // As kept-code.ts loads it: the id by which its compiled code is kept, and a function.
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

// For the package; a program beside its source needs none.
if (process.argv.includes('--types')) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  process.exitCode = status ?? 1
}
