import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunEvent } from '../../src/contract/events.ts'
import { standInOptions } from '../support/agent-command.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { freePort } from '../support/programs.ts'
import { seeded } from '../support/seeded.ts'

const ROUNDS = 5

test("prompts that arrive while an agent's run ends and its hub is killed are each carried out once", async (t) => {
  const { home, run, start } = errandCommand(t)
  const work = join(home, 'work')
  mkdirSync(work)
  const env = { ERRAND_DATA: join(home, 'data') }
  const port = String(await freePort())
  const url = `http://127.0.0.1:${port}`
  const up = async () => {
    const hub = start(['up', '--port', port, '--allow-dir', work], { env })
    await hub.until(/Connected to the hub/)
    return hub
  }
  let hub = await up()
  const { token } = JSON.parse(readFileSync(join(env.ERRAND_DATA, 'local.json'), 'utf8'))
  const call = async (path: string, body?: object) => {
    const headers = {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      authorization: `Bearer ${token}`,
      accept: 'application/json',
    }
    const request = { headers, ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }) }
    const answer = await fetch(url + path, request)
    assert.ok(answer.ok, `${path}: ${answer.status}`)
    return (await answer.json()) as { runs: { run_id: string }[] }
  }
  const events = async (runId: string) => (await call(`/api/runs/${runId}/events`)) as unknown as RunEvent[]
  /** Sends a prompt repeatedly, as a caller does that received no answer. */
  const give = (runId: string, input_id: string) =>
    eventually(`an answer to ${input_id}`, () =>
      call(`/api/runs/${runId}/input`, { prompt: `say ${input_id}`, input_id }).catch(() => undefined),
    )

  const prompts: string[] = []
  const random = seeded()
  for (let round = 0; round < ROUNDS; round++) {
    const words = ['agent', '--hub', '--detach', `say begun\nwait go${round}`, '--cwd', work]
    const result = await run([...words, ...standInOptions], { env })
    const runId = result.stdout.trim()
    await eventually('its first words', async () =>
      (await events(runId)).some((event) => event.type === 'agent.update' && event.update.kind === 'message'),
    )
    const inputs = ['a', 'b', 'c'].map((name) => `${name}${round}`)
    prompts.push(...inputs)
    // Sleeps: each order of the prompts, the end and the kill must be possible.
    const later = (name: string) => sleep(random.between(0, 120)).then(() => give(runId, name))
    // Sleeps: see above.
    const ended = sleep(random.between(0, 120)).then(() => writeFileSync(join(work, `go${round}`), ''))
    // Sleeps: see above.
    const killed = sleep(random.between(0, 240)).then(async () => {
      hub.child.kill('SIGKILL')
      await once(hub.child, 'close')
      hub = await up()
    })
    await Promise.all([...inputs.map(later), ended, killed])
  }

  const open = 'queued,running'
  await eventually(
    'the end of all runs',
    async () => (await call(`/api/runs?status=${open}`)).runs.length === 0,
  )
  const messages: string[] = []
  for (const { run_id } of (await call('/api/runs?limit=500')).runs) {
    // A word may arrive in several pieces.
    const texts = (await events(run_id)).map((event) =>
      event.type === 'agent.update' && event.update.kind === 'message' ? event.update.text : '',
    )
    messages.push(...(texts.join('').replaceAll('begun', '').match(/../g) ?? []))
  }
  assert.deepEqual(messages.sort(), prompts.sort())
})

test('a command that continues a run follows its prompt to the run that has it', async (t) => {
  const { home, run, start } = errandCommand(t)
  const work = join(home, 'work')
  mkdirSync(work)
  const env = { ERRAND_DATA: join(home, 'data') }
  const hub = start(['up', '--port', '0', '--no-runner'], { env })
  await hub.until(/Errand is up at/)
  const url = /http:\/\/\S+/.exec(hub.printed.stdout)![0]
  const token = readFileSync(join(env.ERRAND_DATA, 'runner-token'), 'utf8').trim()
  const runner = () => {
    const words = ['runner', '--url', url, '--token', token, '--workspace', join(home, 'runner')]
    return start([...words, '--allow-dir', work], { env })
  }
  const first = runner()
  const words = ['agent', '--hub', '--detach', 'write begun.txt\nwait go\nwrite ended.txt', '--cwd', work]
  const runId = (await run([...words, ...standInOptions], { env })).stdout.trim()
  await eventually('its first work', () => existsSync(join(work, 'begun.txt')))
  first.child.kill('SIGKILL')
  await once(first.child, 'close')
  const late = start(['agent', '--hub', '--continue', runId, 'say late'], { env })
  await late.until(`run ${runId} on`)
  writeFileSync(join(work, 'go'), '')
  // The turn is over, and no runner could have delivered the prompt.
  await eventually('the end of the turn', () => existsSync(join(work, 'ended.txt')))
  runner()
  const { code, stdout } = await late.finished
  assert.equal(code, 0, stdout)
  assert.equal(stdout.match(/^late$/gm)?.length, 1, stdout)
})
