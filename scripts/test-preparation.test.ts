import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { processStat } from '../src/platform/proc.ts'
import { eventually } from '../test/support/errand-command.ts'
import { Preparation } from './test-preparation.ts'

type Commands = ConstructorParameters<typeof Preparation>[1]

function prepare(t: TestContext, commands: Commands) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-preparation-'))
  const preparation = new Preparation(folder, commands)
  t.after(async () => {
    await preparation.close()
    rmSync(folder, { recursive: true })
  })
  const path = (name: string) => join(folder, name)
  const textOf = (name: string) => (existsSync(path(name)) ? readFileSync(path(name), 'utf8') : '')
  const until = async (service: string) => {
    while (!preparation.isReady(service)) await preparation.changed()
  }
  return { preparation, path, textOf, until }
}

const sh = (script: string) => ['sh', '-c', script]
/** Returns a command that waits for the file. */
const waitFor = (name: string) => sh(`until [ -e ${name} ]; do sleep 0.05; done`)

test("a service is ready after the last of its commands, which run one by one in the project's folder", async (t) => {
  const docker = [sh('echo first >> done'), waitFor('go'), sh('echo last >> done')]
  const { preparation, path, textOf, until } = prepare(t, { docker })
  assert.equal(preparation.isReady('docker'), true)
  preparation.start(['docker'])
  assert.equal(preparation.isReady('docker'), false)
  await eventually('the first command starts', () => textOf('done') === 'first\n')
  assert.equal(preparation.isReady('docker'), false)
  writeFileSync(path('go'), '')
  await until('docker')
  assert.equal(textOf('done'), 'first\nlast\n')
  assert.deepEqual(preparation.failures, [])
})

test('services are prepared in parallel, and each is reported when it is ready', async (t) => {
  const commands = { docker: [waitFor('docker')], agents: [waitFor('agents')] }
  const { preparation, path } = prepare(t, commands)
  preparation.start(['docker', 'agents'])
  for (const [service, other] of [
    ['agents', 'docker'],
    ['docker', 'agents'],
  ] as const) {
    const changed = preparation.changed()
    writeFileSync(path(service), '')
    await changed
    assert.equal(preparation.isReady(service), true)
    assert.equal(preparation.isReady(other), service === 'docker')
  }
})

test('a service that needs no preparation, or that no file needs, is ready at once', (t) => {
  const { preparation } = prepare(t, { docker: [waitFor('never')] })
  preparation.start(['browsers'])
  assert.equal(preparation.isReady('browsers'), true)
  assert.equal(preparation.isReady('docker'), true)
})

test("Node runs a TypeScript program, with the machine's real variables", async (t) => {
  const { preparation, path, textOf, until } = prepare(t, { agents: [['install.ts', 'word']] })
  const program = `import { writeFileSync } from 'node:fs'
const words: string[] = [process.env.ERRAND_TEST_REAL_NAMES!, process.execPath, ...process.argv.slice(2)]
writeFileSync('seen', words.join(' '))
`
  writeFileSync(path('install.ts'), program)
  preparation.start(['agents'])
  await until('agents')
  assert.deepEqual(preparation.failures, [])
  assert.equal(textOf('seen'), `1 ${process.execPath} word`)
})

test('a failed command is reported with its output, the next one does not run, and nothing waits for it', async (t) => {
  const fails = sh('echo out; echo err >&2; exit 3')
  const { preparation, path, until } = prepare(t, { docker: [fails, sh('touch next')] })
  preparation.start(['docker'])
  await until('docker')
  const [failure, ...others] = preparation.failures
  assert.deepEqual(others, [])
  assert.equal(failure?.title, 'preparation of docker')
  assert.match(failure.text, /ended with exit code 3:\n/)
  assert.match(failure.text, /^out$/m)
  assert.match(failure.text, /^err$/m)
  assert.equal(existsSync(path('next')), false)
})

test('a failed command with a lot of output is reported with the end of the output', async (t) => {
  const fails = sh('seq 1 20000; echo the reason; exit 1')
  const { preparation, until } = prepare(t, { docker: [fails] })
  preparation.start(['docker'])
  await until('docker')
  const { text } = preparation.failures[0]!
  assert.match(text, /\n20000\nthe reason\n$/)
  assert.ok(text.length < 5000, `${text.length} characters`)
})

test('a command that a signal ends has failed', async (t) => {
  const { preparation, until } = prepare(t, { docker: [sh('kill -9 $$')] })
  preparation.start(['docker'])
  await until('docker')
  assert.match(preparation.failures[0]!.text, /ended with SIGKILL/)
})

test('a missing program counts as a failure, and closing the preparation still succeeds', async (t) => {
  const { preparation, until } = prepare(t, { docker: [['./missing.sh']] })
  preparation.start(['docker'])
  await until('docker')
  assert.match(preparation.failures[0]!.text, /missing\.sh.*ENOENT/)
  await preparation.close()
})

test('a background process that holds the output does not keep a command from ending', async (t) => {
  const stays = sh('setsid sleep 1000 & echo $! > pid')
  const { preparation, textOf, until } = prepare(t, { docker: [stays] })
  preparation.start(['docker'])
  await until('docker')
  const pid = Number(textOf('pid'))
  t.after(() => process.kill(pid))
  await preparation.close()
  assert.notEqual(processStat(pid), undefined)
  assert.deepEqual(preparation.failures, [])
})

test('closing ends running commands with their children, starts no others, and is not a failure', async (t) => {
  const hangs = sh('sleep 1000 & echo $! > child; echo $$ > parent; wait')
  const { preparation, path, textOf } = prepare(t, { docker: [hangs, sh('touch next')] })
  preparation.start(['docker'])
  await eventually('both processes start', () => textOf('child') !== '' && textOf('parent') !== '')
  const pids = [Number(textOf('child')), Number(textOf('parent'))]
  await Promise.all([preparation.close(), preparation.close()])
  await preparation.close()
  await eventually('they end', () => pids.every((pid) => processStat(pid) === undefined))
  assert.equal(existsSync(path('next')), false)
  assert.deepEqual(preparation.failures, [])
  assert.equal(preparation.isReady('docker'), true)
})

test('a preparation that was never started, or was closed first, starts nothing', async (t) => {
  const { preparation, path } = prepare(t, { docker: [sh('touch begun')] })
  await preparation.close()
  preparation.start(['docker'])
  await preparation.close()
  assert.equal(existsSync(path('begun')), false)
})
