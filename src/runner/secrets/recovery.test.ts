import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  type AttemptFixture,
  command,
  endOf,
  place,
  textOf,
  until,
} from '../../../test/support/runner/attempt-fixture.ts'
import { filesWithSecrets, fromHub, key, token } from '../../../test/support/runner/secret-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { processStat } from '../../platform/proc.ts'
import { createMasker } from '../masking/masker.ts'

/** Program of a runner in its own process, which starts one attempt with its secrets. */
const RUNNER = `
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
import { builtinActionRegistry } from ${JSON.stringify(new URL('../../actions/registry.ts', import.meta.url).href)}
const [path, spec, values] = process.argv.slice(1)
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: builtinActionRegistry,
  ownSecrets: { ERRAND_TOKEN: 'the-token-of-then' },
})
await attempts.start(JSON.parse(spec), 1, JSON.parse(values))
process.stdout.write('started')
setInterval(() => {}, 1000)
`
const values = { TOKEN: token, KEY: key }
const secrets = { TOKEN: fromHub('TOKEN'), KEY: fromHub('KEY', 'file') }

/** Runs it, and kills it like a power cut once the condition holds. */
async function killedRunner(here: AttemptFixture, spec: AttemptSpec, condition: () => boolean) {
  const args = ['--input-type=module', '-e', RUNNER, here.path, JSON.stringify(spec), JSON.stringify(values)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  await until(condition)
  child.kill('SIGKILL')
  await exited
}

test('after a runner is killed midway the whole output is masked again, exactly as before', async () => {
  using here = place()
  const go = join(here.path, 'workspaces/run_test/go')
  const spec = command(
    `${process.execPath} -e '
      const { existsSync, readFileSync } = require("fs")
      const print = (n) => process.stdout.write(n + " " + "y".repeat(n % 700) + process.env.TOKEN + "the-token-of-then\\n")
      for (let n = 0; n < 3000; n++) print(n)
      process.stdout.write(readFileSync(process.env.KEY))
      const wait = () => existsSync("go") ? rest() : setTimeout(wait, 20)
      const rest = () => { for (let n = 3000; n < 6000; n++) print(n) }
      wait()
    '; cat "$KEY" >&2`,
    { secrets },
  )
  const folder = join(here.path, 'attempts', spec.attempt_id)
  const line = (n: number) => `${n} ${'y'.repeat(n % 700)}${token}the-token-of-then\n`
  const [first, rest] = [0, 3000].map((from) =>
    Array.from({ length: 3000 }, (_, n) => line(from + n)).join(''),
  )
  const masked = join(folder, 'stdout.masked')
  await killedRunner(here, spec, () => existsSync(masked) && statSync(masked).size > 500_000)
  const oracle = createMasker([token, key, 'the-token-of-then']).maskText(`${first}${key}${rest}`)
  const sent = readFileSync(masked)
  const attempts = here.open({ ownSecrets: { ERRAND_TOKEN: 'the-token-of-now' } })
  const [attempt] = await attempts.recover()
  await until(() => attempt!.length('stdout') >= sent.length)
  const oracleHead = Buffer.from(oracle).subarray(0, attempt!.length('stdout'))
  assert.ok((await attempt!.read('stdout', 0, oracleHead.length)).equals(oracleHead))
  writeFileSync(go, '')
  const end = await endOf(attempt!)
  assert.equal(end.outcome, 'success', end.message)
  assert.equal(end.streams!.stdout!.sha256, createHash('sha256').update(oracle).digest('hex'))
  assert.ok((await textOf(attempt!)) === oracle)
  assert.equal(await textOf(attempt!, 'stderr'), '***')
  assert.deepEqual(filesWithSecrets(here.path), [])
  await attempts.close()
})

test('after recovery of an attempt that ended without a runner, none of its secrets is left', async () => {
  using here = place()
  const spec = command('cat "$KEY"; echo "$TOKEN" >&2', { secrets })
  const folder = join(here.path, 'attempts', spec.attempt_id)
  await killedRunner(here, spec, () => existsSync(join(folder, 'exit')))
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal((await endOf(attempt!)).outcome, 'success')
  assert.deepEqual([await textOf(attempt!), await textOf(attempt!, 'stderr')], ['***', '***\n'])
  assert.deepEqual(filesWithSecrets(here.path), [])
  await attempts.close()
})

test('an attempt whose secrets are gone is ended, and nothing of its output is shown', async () => {
  using here = place()
  const spec = command('echo $$; echo "$TOKEN"; sleep 1000', { secrets })
  const folder = join(here.path, 'attempts', spec.attempt_id)
  const stdout = join(folder, 'stdout')
  const isThere = () => existsSync(stdout) && readFileSync(stdout, 'utf8').includes(token)
  await killedRunner(here, spec, isThere)
  const pid = Number.parseInt(readFileSync(stdout, 'utf8'), 10)
  rmSync(join(folder, 'secrets'))
  const attempts = here.open()
  assert.deepEqual(await attempts.recover(), [])
  assert.equal(processStat(pid), undefined)
  assert.deepEqual(readdirSync(join(here.path, 'attempts')), [])
  await attempts.close()
})
