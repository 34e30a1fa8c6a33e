import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually } from '../../../../test/support/errand-command.ts'
import { needOf, provisionerSuite } from '../../../../test/support/provisioners/conformance.ts'
import { holdersOf, processesMarked, visibleProcesses } from '../../../platform/proc.ts'
import { newHubId } from '../names.ts'
import { ProcessProvisioner } from './process.ts'

const WAITS = ['sleep', '600']

function opened(t: TestContext, runner: readonly string[] = WAITS) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-made-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const again = () =>
    new ProcessProvisioner({ runner, folder, env: { PATH: process.env.PATH }, graceMs: 500, lookSeconds: 1 })
  const pids = (name: string) => processesMarked(`ERRAND_MADE_RUNNER=${name}\0`)
  return {
    ...{ provisioner: again(), hub: newHubId(), again, folder, pids },
    count: (name: string) => pids(name).length,
    kill: (name: string) => pids(name).forEach((pid) => void process.kill(pid, 'SIGKILL')),
  }
}

provisionerSuite('processes', opened)

test('removing a runner also removes what it left behind', async (t) => {
  const leaves =
    'setsid sh -c "exec env -i sleep 600" & cd work 2>/dev/null; mkdir -p work; cd work; setsid env -i sleep 600 & sleep 600'
  const { provisioner, hub, folder, pids } = opened(t, ['sh', '-c', leaves])
  const need = needOf(hub)
  await provisioner.provision(need)
  while (holdersOf(join(folder, need.name)).length < 5)
    await new Promise((resolve) => setTimeout(resolve, 20))
  await provisioner.remove(need.name)
  assert.deepEqual([pids(need.name), holdersOf(join(folder, need.name))], [[], []])
  assert.ok(!existsSync(join(folder, need.name)))
})

test('a step gets no signal while its runner lives, neither on removal nor at a deadline', async (t) => {
  const noted = mkdtempSync(join(tmpdir(), 'errand-made-'))
  t.after(() => rmSync(noted, { recursive: true }))
  const step = `trap "echo >${noted}/asked" TERM; echo >ready; while :; do sleep 0.05; done`
  const runner = `env -i PATH="$PATH" sh -c '${step}' & trap 'sleep 0.3; exit' TERM; while :; do sleep 0.05; done`
  const { provisioner, hub, folder } = opened(t, ['sh', '-c', runner])
  for (const more of [{}, { deadlineMs: Date.now() + 2_000 }]) {
    const need = needOf(hub, more)
    const own = join(folder, need.name)
    await provisioner.provision(need)
    await eventually('its step', () => existsSync(join(own, 'ready')))
    if ('deadlineMs' in more) await eventually('its end', () => holdersOf(own).length === 0)
    await provisioner.remove(need.name)
    assert.deepEqual([holdersOf(own), existsSync(join(noted, 'asked'))], [[], false])
  }
})

test('a runner still alive at its deadline is ended with what it left, even if nobody checks on it', async (t) => {
  const deaf = 'trap "" TERM; mkdir -p work; (cd work; setsid env -i sleep 600) & while :; do sleep 1; done'
  const { provisioner, hub, folder, again } = opened(t, ['sh', '-c', deaf])
  const [short, long] = [needOf(hub, { deadlineMs: Date.now() + 1_000 }), needOf(hub)]
  await Promise.all([provisioner.provision(short), provisioner.provision(long)])
  await eventually('its end', () => holdersOf(join(folder, short.name)).length === 0)
  const found = new Map((await again().find()).map((each) => [each.name, each]))
  const { state, message } = found.get(short.name)!
  assert.equal(state, 'ended')
  // A shell that sees its child end first reports it too.
  assert.match(
    message!,
    /^Its process was ended by SIGKILL\. Its last output: The time limit of this runner was reached\./,
  )
  assert.equal(found.get(long.name)?.state, 'running')
  await Promise.all([provisioner.remove(short.name), provisioner.remove(long.name)])
  assert.deepEqual([await provisioner.find(), holdersOf(folder)], [[], []])
})

/** Shell code that holds the lock of its folder as a runner does, and leaves a process that works there. */
const LOCKED = `printf '{"pid":%s,"started":""}' $$ >lock; mkdir work; (cd work; echo >begun; exec setsid env -i sleep 600) & sleep 600`

test('what a killed runner leaves is ended, even if no hub removes it', async (t) => {
  const { provisioner, hub, folder, kill } = opened(t, ['sh', '-c', LOCKED])
  const need = needOf(hub)
  const own = join(folder, need.name)
  await provisioner.provision(need)
  await eventually('its step', () => existsSync(join(own, 'work/begun')))
  kill(need.name)
  await eventually('the end of all processes in the folder', () => holdersOf(own).length === 0)
  assert.ok(existsSync(own))
})

test('if the folder is gone, what is left there ends, and the runner too if it does not end itself', async (t) => {
  const { provisioner, hub, folder } = opened(t, ['sh', '-c', LOCKED])
  const need = needOf(hub)
  const own = join(folder, need.name)
  await provisioner.provision(need)
  await eventually('its step', () => existsSync(join(own, 'work/begun')))
  rmSync(own, { recursive: true })
  await eventually('the end of all processes that ran in the folder', () =>
    visibleProcesses().every(({ pid }) => !linkOf(`/proc/${pid}/cwd`).startsWith(own)),
  )
})

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

test('reports a program that is missing, and a folder that cannot be created', async (t) => {
  const { provisioner, hub, folder } = opened(t, ['/no/such/program'])
  await assert.rejects(provisioner.provision(needOf(hub)), {
    name: 'Error',
    message: /^The runner could not be started: spawn \/no\/such\/program ENOENT\.$/,
  })
  await eventually('the end of its processes', () => holdersOf(folder).length === 0)
  const file = join(mkdtempSync(join(tmpdir(), 'errand-made-')), 'file')
  t.after(() => rmSync(join(file, '..'), { recursive: true, force: true }))
  writeFileSync(file, '')
  const blocked = new ProcessProvisioner({ runner: WAITS, folder: join(file, 'made'), env: {} })
  await assert.rejects(blocked.provision(needOf(hub)), /could not be started: ENOTDIR/)
  await assert.rejects(blocked.find(), /cannot be read: ENOTDIR/)
})

test('reports the last output of an ended runner', async (t) => {
  const { provisioner, hub } = opened(t, ['sh', '-c', 'echo "the hub is not there" >&2; exit 4'])
  const need = needOf(hub)
  await provisioner.provision(need)
  for (;;) {
    const [found] = await provisioner.find()
    if (found?.state === 'ended') {
      const message = 'Its process ended with exit code 4: the hub is not there'
      assert.deepEqual(found, { name: need.name, state: 'ended', message })
      break
    }
  }
  await provisioner.remove(need.name)
})

test('reports the signal that killed a runner, even from a later hub', async (t) => {
  const { provisioner, hub, again, pids, folder } = opened(t, ['sh', '-c', 'echo connected; exec sleep 600'])
  for (const signal of ['SIGKILL', 'SIGSEGV'] as const) {
    const need = needOf(hub)
    await provisioner.provision(need)
    const log = join(folder, need.name, 'runner.log')
    await eventually('its log', () => existsSync(log) && readFileSync(log, 'utf8') === 'connected\n')
    for (const pid of pids(need.name)) process.kill(pid, signal)
    const message = `Its process was ended by ${signal}. Its last output: connected`
    const ended = await eventually('its end', async () => {
      const [found] = await provisioner.find()
      return found?.state === 'ended' && found
    })
    assert.equal(ended.message, message)
    await eventually('the same from a later hub', async () => (await again().find())[0]?.message === message)
    await provisioner.remove(need.name)
  }
})
