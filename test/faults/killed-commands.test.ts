import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { runIdIn, standInOptions } from '../support/agent-command.ts'
import { errandCommand, eventually, type Started } from '../support/errand-command.ts'
import { endProcessesOf, processesOf, writeWorkflow } from '../support/programs.ts'

function setup(t: TestContext) {
  // Runs before the folder is removed: the leftovers of a killed command would continue to write there.
  t.after(async () => await endProcessesOf(errand.home))
  const errand = errandCommand(t)
  const tmp = join(errand.home, 'tmp')
  mkdirSync(tmp)
  const env = { TMPDIR: tmp, TOKEN: 'a secret value' }
  const start = (...args: string[]) => errand.start(args, { env })
  const run = (...args: string[]) => errand.run(args, { env })
  return { home: errand.home, tmp, start, run, records: join(errand.home, '.errand/local/live') }
}

async function kill({ child, finished }: Started): Promise<void> {
  child.kill('SIGKILL')
  await finished
}

/** Returns two simultaneous steps that never end: a script with a secret in a file, and a tree of processes. */
const endless = (home: string): string =>
  writeWorkflow(join(home, 'endless.yaml'), [
    {
      name: 'script',
      action: 'shell.run',
      args: { script: 'echo "script $(cat "$KEY" | wc -c)"; sleep 100000' },
      secrets: { KEY: { secret: 'TOKEN', as: 'file' } },
      needs: [],
    },
    { name: 'tree', cmd: 'setsid sleep 100000 & sleep 100000 & echo tree; wait', needs: [] },
  ])

for (const next of ['run', 'up'] as const) {
  test(`the next errand ${next} ends what a killed errand run left running, and removes its files`, async (t) => {
    const { home, tmp, start, run, records } = setup(t)
    const killed = start('run', endless(home), '--secret', 'TOKEN')
    await killed.until(/script \d/)
    await killed.until('tree')
    const alive = start('run', endless(home), '--secret', 'TOKEN')
    await alive.until(/script \d/)
    await alive.until('tree')
    // A shell starts its last command only after its output.
    await eventually('all sleeping processes', () => processesOf(home, 'sleep\0').length === 6)
    const all = processesOf(home).length
    await kill(killed)
    assert.equal(processesOf(home).length, all - 1, 'its steps continue')
    assert.equal(readdirSync(records).length, 2)

    if (next === 'run') {
      const quick = writeWorkflow(join(home, 'quick.yaml'), [{ name: 'one', cmd: 'echo hi' }])
      const { code, stdout } = await run('run', quick)
      assert.equal(code, 0, stdout)
    } else {
      const up = start('up', '--port', '0', '--no-runner', '--data', join(home, 'data'))
      await up.until('Errand is up')
      await eventually('the end of what was left', () => processesOf(home).length <= all / 2 + 1)
      up.child.kill('SIGINT')
      assert.equal((await up.finished).code, 0)
    }
    assert.equal(processesOf(home).length, all / 2, 'what was not killed continues')
    alive.child.kill('SIGINT')
    assert.equal((await alive.finished).code, 3)
    assert.deepEqual(processesOf(home), [])
    assert.equal(existsSync(records), false)
    assert.deepEqual(readdirSync(tmp), [])
  })
}

test('the next command ends the agent of a killed command, and its session can be continued', async (t) => {
  const { home, start, run, records } = setup(t)
  const killed = start('agent', 'say begun\nhang', ...standInOptions)
  await killed.until('begun')
  await kill(killed)
  assert.notDeepEqual(processesOf(home), [], 'the agent still works')
  const [id] = readdirSync(join(home, '.errand/local/runs'))

  const other = await run('agent', 'say other', ...standInOptions)
  assert.equal(other.code, 0, other.stdout + other.stderr)
  assert.deepEqual(processesOf(home), [])
  assert.equal(existsSync(records), false)

  const next = await run('agent', '--continue', id!, 'say again')
  assert.equal(next.code, 0, next.stdout + next.stderr)
  assert.match(next.stdout, /again\n[\s\S]*success/)
  assert.notEqual(runIdIn(next.stdout), id)
  assert.deepEqual([processesOf(home), existsSync(records)], [[], false])
})
