import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { needOf, provisionerSuite } from '../../../../test/support/provisioners/conformance.ts'
import { processesMarked, processStat } from '../../../platform/proc.ts'
import { newHubId } from '../names.ts'
import type { ProvisionError } from '../provisioner.ts'
import { CommandProvisioner } from './command.ts'

/** Never aborted: no caller cuts these calls off. */
const { signal } = new AbortController()
const env = { PATH: process.env.PATH }

/**
 * A program that makes runners, as an operator would write it: each is a process, recorded in a folder under its
 * name.
 */
const MAKER = `#!/usr/bin/env node
const { spawn } = require('node:child_process')
const fs = require('node:fs'), path = require('node:path')
const [folder, call] = process.argv.slice(2)
const asked = JSON.parse(fs.readFileSync(0, 'utf8'))
const file = (name) => path.join(folder, name)
const lives = (pid) => { try { process.kill(pid, 0); return !/^\\d+ \\(.*\\) [ZX]/.test(fs.readFileSync('/proc/' + pid + '/stat', 'utf8')) } catch { return false } }
if (call === 'provision' && !fs.existsSync(file(asked.name))) {
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore', env: { ...process.env, ERRAND_MADE_CALL: '', ...asked.env } })
  fs.writeFileSync(file(asked.name), String(child.pid))
}
if (call === 'remove' && fs.existsSync(file(asked.name))) {
  const pid = Number(fs.readFileSync(file(asked.name), 'utf8'))
  try { process.kill(-pid, 'SIGKILL') } catch {}
  while (lives(pid)) {}
  fs.unlinkSync(file(asked.name))
}
const runners = call !== 'find' ? undefined : fs.readdirSync(folder).filter((name) => name.startsWith('errand-' + asked.hub)).map((name) => ({ name, state: lives(Number(fs.readFileSync(file(name), 'utf8'))) ? 'running' : 'ended' }))
console.log(JSON.stringify(runners ? { runners } : {}))
process.exit(0)
`

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-maker-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

provisionerSuite('a program of the operator', (t) => {
  const [folder, hub] = [folderOf(t), newHubId()]
  const maker = join(folderOf(t), 'maker.cjs')
  writeFileSync(maker, MAKER)
  const again = () => new CommandProvisioner({ command: [process.execPath, maker, folder], hub, env })
  const pidOf = (name: string) => Number(readFileSync(join(folder, name), 'utf8'))
  return {
    ...{ provisioner: again(), hub, again },
    count: (name) => processesMarked(`ERRAND_RUNNER_ID=${name}\0`).length,
    kill: (name) => void process.kill(-pidOf(name), 'SIGKILL'),
  }
})

const script = (text: string, change: { timeoutMs?: number } = {}) =>
  new CommandProvisioner({ command: ['sh', '-c', text, 'maker'], hub: '00000000', env, ...change })

test('reports each mistake of a program, with the call and a hint', async () => {
  const need = needOf('00000000')
  const refusalOf = async (text: string, change = {}): Promise<ProvisionError> => {
    try {
      await script(text, change).provision(need, signal)
    } catch (error) {
      return error as ProvisionError
    }
    throw new Error('it was taken')
  }
  const cases: [string, RegExp][] = [
    ['echo hello', /provision printed an invalid answer: "hello\\n"\.$/],
    ['true', /printed an invalid answer: nothing\.$/],
    ['echo "no quota left" >&2; exit 3', /provision ended with exit code 3: no quota left$/],
    ['kill -9 $$', /ended with SIGKILL\.$/],
    ['yes x', /printed more than 1048576 bytes\.$/],
  ]
  for (const [text, message] of cases) assert.match((await refusalOf(text)).message, message)
  const quota = await refusalOf(`echo '{"error": {"message": "The quota is 0.", "permanent": true}}'; exit 1`)
  assert.deepEqual([quota.message, quota.permanent], ['The quota is 0.', true])
  const hung = await refusalOf('sleep 600', { timeoutMs: 200 })
  assert.match(hung.message, /did not end within 0\.2 s\.$/)
  const none = new CommandProvisioner({ command: ['/no/such'], hub: '00000000', env })
  await assert.rejects(none.find(signal), (error: ProvisionError) => {
    assert.match(error.message, /^\/no\/such could not be started: /)
    return error.permanent
  })
})

test('what a program leaves in the background ends with the call', async (t) => {
  const folder = folderOf(t)
  await script(`sleep 600 & echo $! > ${folder}/pid; echo '{}'; exec >&- 2>&-`).provision(
    needOf('00000000'),
    signal,
  )
  assert.equal(processStat(Number(readFileSync(join(folder, 'pid'), 'utf8'))), undefined)
})

test('a process that leaves the session of its program and holds its output does not block a call', async (t) => {
  const file = join(folderOf(t), 'pid')
  const leaves = `setsid env -i sh -c 'echo $$ > ${file}; exec sleep 600' & until test -s ${file}; do sleep 0.05; done; echo '{}'`
  await script(leaves).provision(needOf('00000000'), signal)
  const pid = Number(readFileSync(file, 'utf8'))
  t.after(() => process.kill(pid, 'SIGKILL'))
  // The process may be the runner itself.
  assert.ok(processStat(pid) !== undefined)
})

test('stores a limited, readable part of what a program says about a runner', async () => {
  const long = `echo '{"runners": [{"name": "a", "state": "starting", "message": "'$(head -c 9000 /dev/zero | tr '\\0' x)'"}]}'`
  const [found] = await script(long).find(signal)
  assert.equal(found?.message?.length, 2_000)
})
