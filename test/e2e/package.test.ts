import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'

const root = join(import.meta.dirname, '../..')
const text = (path: string): string => readFileSync(join(root, path), 'utf8')
const { dependencies, devDependencies } = JSON.parse(text('package.json')) as Record<
  'dependencies' | 'devDependencies',
  Record<string, string>
>
interface Locked {
  version?: string
  engines?: { node?: string }
  optionalDependencies?: Record<string, string>
}
const { packages } = JSON.parse(text('package-lock.json')) as { packages: Record<string, Locked> }

const run = (cwd: string, ...words: string[]) =>
  spawnSync(process.execPath, words, { cwd, encoding: 'utf8', timeout: 180_000 })

/**
 * Creates the folder of a program that has installed the package: the build, and the packages that it says it needs.
 */
function program(t: TestContext, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-program-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const modules = join(folder, 'node_modules')
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  mkdirSync(join(modules, 'errand/dist'), { recursive: true })
  cpSync(join(root, 'package.json'), join(modules, 'errand/package.json'))
  for (const name of ['index.js', 'chunks'])
    cpSync(join(root, 'dist', name), join(modules, 'errand/dist', name), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  return folder
}

const tsc = join(root, 'node_modules/typescript/bin/tsc')

/** Returns the programs of docs/library.md, with everything that they assume. */
function documented(): Record<string, string> {
  const blocks = [...text('docs/library.md').matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!)
  assert.ok(blocks.length >= 3, 'the examples are not found')
  const yaml =
    'version: v0.1\nname: w\nsteps:\n  - {name: greet, action: cmd.run, args: {cmd: "echo $VERSION"}}\n'
  const names =
    'type Action, BoundedOutputStore, builtinActionRegistry, builtinActions, Engine, GivenSecrets, LocalHost, MemoryRunStore'
  const before = `import { ${names} } from 'errand'
import * as z from 'zod'
const store = new MemoryRunStore({ warn: console.warn })
const outputs = new BoundedOutputStore({ spillDir: 'errand-output' })
const token = 'a token'
`
  const after = `await engine.submit({ yaml: ${JSON.stringify(yaml)}, run_id: 'documented', vars: { VERSION: '1.2' } })
console.log((await engine.done('documented')).status)
await engine.close()
`
  return Object.fromEntries(
    blocks.map((code, index) => [
      `example-${index}.ts`,
      code.includes("from 'errand'")
        ? `const text = ${JSON.stringify(yaml)}\n${code}`
        : `${before}${code}${after}`,
    ]),
  )
}

test('programs that embed the package compile strictly, including its declarations, and run as documented', (t) => {
  const examples = { 'embed.ts': text('examples/embed.ts'), ...documented() }
  const folder = program(t, {
    ...examples,
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        strict: true,
        skipLibCheck: false,
        module: 'nodenext',
        target: 'es2024',
        noEmit: true,
      },
      include: ['*.ts'],
    }),
  })
  const types = join(folder, 'node_modules/errand/dist/types')
  const built = run(root, tsc, '-p', 'tsconfig.build.json', '--outDir', types)
  assert.equal(built.status, 0, built.stdout)
  const compiled = run(folder, tsc, '-p', '.')
  assert.equal(compiled.status, 0, compiled.stdout)
  for (const name of Object.keys(examples)) {
    const { status, stdout, stderr } = run(folder, name)
    assert.equal(status, 0, `${name}: ${stderr}`)
    assert.match(stdout, /^(it ended )?success$/m, name)
  }
})

test('an uncaught error of the library is shown with the line that threw it, and nothing more', (t) => {
  const folder = program(t, {
    'app.ts': `import { BoundedOutputStore, builtinActionRegistry, Engine, LocalHost, MemoryRunStore } from 'errand'
const engine = new Engine({
  store: new MemoryRunStore(),
  host: new LocalHost({ registry: builtinActionRegistry }),
  outputs: new BoundedOutputStore({ spillDir: 'errand-output' }),
})
await engine.submit({ run_id: 'r', yaml: 'name: none' })
`,
  })
  const { status, stderr } = run(folder, 'app.ts')
  assert.equal(status, 1)
  const lines = stderr.split('\n')
  assert.match(stderr, /^ {4}at .*Engine\.submit \(.*\/dist\/index\.js:\d+:\d+\)$/m)
  assert.match(stderr, /app\.ts:7:/)
  assert.match(stderr, /^ *throw new ErrandError\($/m)
  assert.ok(Math.max(...lines.map((line) => line.length)) < 300, stderr)
})

test("no line of the library is long, so that Node's error output stays readable", () => {
  for (const name of [
    'index.js',
    ...readdirSync(join(root, 'dist/chunks')).map((file) => `chunks/${file}`),
  ]) {
    const longest = Math.max(
      ...text(`dist/${name}`)
        .split('\n')
        .map((line) => line.length),
    )
    assert.ok(longest < 1000, `${name} has a line of ${longest} characters`)
  }
})

test('the build loads no package that an install leaves out', () => {
  const built = readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' })
  const files = built.filter((name) => /\.c?js$/.test(name))
  assert.ok(files.length >= 6, files.join())
  const loaded = /\b(?:require|import)\(["']([^"']+)["']\)|\b(?:from|import)\s*["']([^"']+)["']/g
  for (const file of files)
    for (const [, required, imported] of text(`dist/${file}`).matchAll(loaded)) {
      const [scope, name] = (required ?? imported)!.split('/')
      const of = scope!.startsWith('@') ? `${scope}/${name}` : scope!
      assert.ok(
        !(of in devDependencies),
        `dist/${file} loads ${of}: make it a dependency, or do not mark it external in the build`,
      )
    }
})

test('the lock contains every optional package, so that "npm ci" works wherever it was created', () => {
  for (const [path, { optionalDependencies = {} }] of Object.entries(packages))
    for (const name of Object.keys(optionalDependencies))
      assert.ok(
        packages[`node_modules/${name}`] ?? packages[`${path}/node_modules/${name}`],
        `${path} has ${name}, but the lock does not: npm ci would refuse it; choose a version whose packages all exist`,
      )
})

test('every dependency has one version, and the lock contains it', () => {
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not pinned`)
    assert.equal(packages[`node_modules/${name}`]?.version, version, name)
  }
})

test('an install does not warn on any Node that package.json allows', () => {
  const admits = (range: string): boolean =>
    range.split('||').some((part) => {
      const [, sign = '', major] = /^\s*(>=|\^|~|>)?\s*v?(\d+|\*)/.exec(part) ?? []
      return major === '*' || (sign.startsWith('>') ? Number(major) <= 20 : Number(major) === 20)
    })
  assert.equal(JSON.parse(text('package.json')).engines.node, '>=20')
  for (const [path, { engines }] of Object.entries(packages))
    assert.ok(engines?.node === undefined || admits(engines.node), `${path} wants Node ${engines?.node}`)
})
