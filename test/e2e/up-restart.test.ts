import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { errandCommand, eventually, type Started } from '../support/errand-command.ts'
import { processesOf, writeWorkflow } from '../support/programs.ts'
import { numbered } from '../support/programs-output.ts'

function hub(t: TestContext) {
  const errand = errandCommand(t)
  const data = join(errand.home, 'data')
  const env = { ERRAND_DATA: data }
  const up = async (...more: string[]): Promise<Started> => {
    const started = errand.start(['up', '--port', '0', ...more], { env })
    await started.until('Connected to the hub')
    return started
  }
  const call = (...args: string[]) => errand.run(args, { env })
  const list = async () =>
    JSON.parse((await call('runs', 'list', '--json')).stdout).runs as { run_id: string; status: string }[]
  return { ...errand, data, up, call, list }
}

/** Returns a step that prints numbered lines slowly, and notes each time that it begins. */
function lines(home: string, count: number): string {
  const loop = `i=1; while [ $i -le ${count} ]; do echo "line $i"; i=$((i+1)); sleep 0.02; done`
  return writeWorkflow(join(home, 'lines.yaml'), [{ name: 'count', cmd: `echo x >> ${home}/begun; ${loop}` }])
}

test('Ctrl-C during work and with a reader ends cleanly, and the next start finishes the work', async (t) => {
  const errand = hub(t)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const id = `mine-${signal}`
    const up = await errand.up()
    const file = lines(errand.home, 100)
    const env = { ERRAND_DATA: errand.data }
    const reader = errand.start(['run', '--hub', '--run-id', id, file], { env })
    await reader.until('local | line 5\n')
    const token = readFileSync(join(errand.data, 'local-token'), 'utf8')
    up.child.kill(signal)
    const { code, stdout, stderr } = await up.finished
    assert.equal(code, 0, `${stdout}\n${stderr}`)
    assert.deepEqual(processesOf(`--workspace\0${join(errand.data, 'runner')}\0`), [], 'no runner is left')
    assert.equal(existsSync(join(errand.data, 'lock')), false, 'no lock is left')
    reader.child.kill('SIGKILL')
    await reader.finished

    const next = await errand.up()
    assert.equal(readFileSync(join(errand.data, 'local-token'), 'utf8'), token, 'the token is the same')
    await eventually(`the end of ${id}`, async () =>
      (await errand.list()).some((run) => run.run_id === id && run.status === 'success'),
    )
    assert.equal((await errand.call('runs', 'logs', id, '--attempt', '1')).stdout, numbered(100))
    next.child.kill('SIGINT')
    assert.equal((await next.finished).code, 0)
  }
  assert.equal(readFileSync(join(errand.home, 'begun'), 'utf8'), 'x\nx\n')
})

test('after kill -9 the folder is free again, and nothing of the hub is left', async (t) => {
  const errand = hub(t)
  for (let round = 0; round < 3; round++) {
    const up = await errand.up()
    up.child.kill('SIGKILL')
    await up.finished
    await eventually(
      'the end of the runner',
      async () => processesOf(`--workspace\0${join(errand.data, 'runner')}\0`).length === 0,
    )
  }
  const last = await errand.up()
  last.child.kill('SIGINT')
  assert.equal((await last.finished).code, 0)
})

test('a command that follows a run across a hub restart shows every line once', async (t) => {
  const errand = hub(t)
  const env = { ERRAND_DATA: errand.data }
  const first = await errand.up()
  const url = /http:\/\/\S+/.exec(first.printed.stdout)![0]
  const follower = errand.start(['run', '--hub', lines(errand.home, 150)], { env })
  await follower.until('local | line 20\n')
  first.child.kill('SIGKILL')
  await first.finished
  await errand.up('--port', new URL(url).port)
  const { code, stdout } = await follower.finished
  assert.equal(code, 0, stdout)
  assert.equal(stdout.match(/line \d+\n/g)!.join(''), numbered(150))
})

test('an invalid data folder, and an address of another machine, are errors that say so', async (t) => {
  const errand = hub(t)
  const file = join(errand.home, 'file')
  writeFileSync(file, '')
  const noFolder = await errand.call('up', '--port', '0', '--data', file)
  assert.notEqual(noFolder.code, 0)
  assert.notEqual(noFolder.code, 70, noFolder.stderr)
  assert.ok(noFolder.stderr.includes(file), noFolder.stderr)
  const noAddress = await errand.call('up', '--port', '0', '--host', '203.0.113.1')
  assert.notEqual(noAddress.code, 0)
  assert.match(noAddress.stderr, /203\.0\.113\.1/)
  assert.equal((await errand.call('up', '--port', '70000')).code, 2)
})
