import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { AgentUpdate } from '../../src/contract/agent.ts'
import type { AgentRequestInput } from '../../src/contract/agent-api.ts'
import type { ErrandError } from '../../src/contract/errors.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms } from '../support/programs.ts'

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const standIn = new URL('../support/acp-agent-stand-in.ts', import.meta.url).pathname
const able = (...can: string[]): Pick<AgentRequestInput, 'agent' | 'command'> => ({
  agent: 'acp',
  command: [process.execPath, standIn, ...can],
})

test('inputs to a session other than text', async (t) => {
  const programs = await startPrograms(t)
  const { client } = programs
  const ask = async (agent: AgentRequestInput): Promise<string> =>
    (await client.runs.create({ agent })).run_id
  const updates = async (run: string): Promise<AgentUpdate[]> => {
    const found: AgentUpdate[] = []
    const { last_seq } = await client.runs.get(run)
    for await (const event of client.events(run)) {
      if (event.type === 'agent.update') found.push(event.update)
      if (event.seq >= last_seq) break
    }
    return found
  }
  const messages = async (run: string): Promise<string> =>
    (await updates(run)).flatMap((each) => (each.kind === 'message' ? [each.text] : [])).join('')
  const waitForText = (run: string, text: string) =>
    eventually(`"${text}" of ${run}`, async () => (await messages(run)).includes(text))
  const refused = async (call: Promise<unknown>): Promise<ErrandError> => {
    const error = await call.then(
      () => undefined,
      (error: ErrandError) => error,
    )
    assert.ok(error, 'it was not refused')
    return error
  }
  const image = () => client.sessions.attach({ name: 'screen.png', media_type: 'image/png', bytes: PNG })
  const folder = (run: string) => join(programs.runnerFolder, 'runs', run)
  const go = (run: string, name: string) => writeFileSync(join(folder(run), name), '')
  const isAtWork = (run: string) => eventually(`the workspace of ${run}`, () => existsSync(folder(run)))

  await t.test('files go with the first prompt once, and with a later one once despite kills', async () => {
    const file = join(programs.home, 'notes.md')
    writeFileSync(file, '# notes')
    writeFileSync(join(programs.home, 'screen.png'), PNG)
    const made = await client.runs.create({
      agent: {
        ...able('image', 'text'),
        prompt: 'attached\nsay first\nwait go',
        interactive: true,
        attachments: [await image()],
      },
    })
    const run = made.run_id
    await waitForText(run, `image image/png ${PNG.toString('base64').length}\nfirst`)
    const id = await client.sessions.attach({
      name: 'notes.md',
      media_type: 'text/markdown',
      bytes: readFileSync(file),
    })
    await client.runs.input(run, { prompt: 'attached\nsay second', attachments: [id], input_id: 'later' })
    await programs.kill('hub', 'runner')
    await programs.startHub()
    await client.runs.input(run, { prompt: 'attached\nsay second', attachments: [id], input_id: 'later' })
    await programs.startRunner()
    await isAtWork(run)
    go(run, 'go')
    await waitForText(run, 'resource text/markdown # notes\nsecond')
    await client.runs.input(run, { close: true })
    await programs.ended(run)
    const all = await updates(run)
    assert.equal(all.filter((each) => each.kind === 'prompt' && each.input_id === 'later').length, 1)
    const prompt = all.find((each) => each.kind === 'prompt')
    assert.ok(prompt?.kind === 'prompt' && prompt.attachments?.[0]?.name === 'screen.png')
    const { token } = JSON.parse(readFileSync(join(programs.data, 'local.json'), 'utf8'))
    const get = (path: string) =>
      fetch(`${programs.url}/api/runs/${run}/attachments/${path}`, {
        headers: { authorization: `Bearer ${token}` },
      })
    const shown = await get(prompt.attachments[0].id)
    assert.deepEqual(Buffer.from(await shown.arrayBuffer()), PNG)
    assert.match(shown.headers.get('content-security-policy')!, /sandbox/)
    assert.equal((await get('art_00')).status, 404)
    const cli = await programs.callIn(
      programs.home,
      ...['sessions', 'continue', run, 'attached\nsay third', '--attach', 'screen.png'],
    )
    assert.equal(cli.code, 0, cli.stderr)
    await waitForText(cli.stdout.trim(), 'image image/png')
  })

  await t.test(
    'inputs that an agent does not accept are refused by name, and the agent gets no prompt',
    async () => {
      const [id, text] = [
        await image(),
        await client.sessions.attach({ name: 'a.txt', media_type: 'text/plain', bytes: Buffer.from('a') }),
      ]
      const run = await ask({ ...able(), prompt: 'say never', attachments: [id] })
      const { status, steps } = await programs.ended(run)
      assert.equal(status, 'failed')
      const { reason, message } = steps[0]!.instances[0]!
      assert.equal(reason, 'invalid_argument')
      assert.match(
        message!,
        /does not accept the attachment "screen\.png" \(image\/png\).*It received no prompt/,
      )
      assert.equal(await messages(run), '')
      const other = await ask({ ...able('image'), prompt: 'say here', interactive: true })
      await waitForText(other, 'here')
      const no = await refused(client.runs.input(other, { prompt: 'say x', attachments: [text] }))
      assert.equal(no.code, 'invalid_argument')
      assert.match(no.message, /does not accept "a\.txt" \(text\/plain\)/)
      const fake = await client.sessions.attach({
        name: 'b.png',
        media_type: 'image/png',
        bytes: Buffer.from('<svg>'),
      })
      const lied = await refused(client.runs.input(other, { prompt: 'say x', attachments: [fake] }))
      assert.match(lied.message, /"b\.png" is not image\/png/)
      const unknown = await refused(client.runs.input(other, { prompt: 'say x', attachments: ['art_0'] }))
      assert.equal(unknown.code, 'not_found')
      await client.runs.input(other, { close: true })
      await programs.ended(other)
    },
  )

  await t.test(
    'queued prompts can be edited, moved up and withdrawn until the agent takes them',
    async () => {
      const run = await ask({ ...able(), prompt: 'say begun\nwait go', interactive: true })
      await waitForText(run, 'begun')
      for (const name of ['a', 'b', 'c'])
        await client.runs.input(run, { prompt: `say ${name}!`, input_id: name })
      const change = (prompt_id: string, more: { change: 'edit' | 'withdraw' | 'up'; text?: string }) =>
        client.runs.input(run, { queue: { prompt_id, ...more } })
      await change('b', { change: 'edit', text: 'say edited!' })
      await change('c', { change: 'up' })
      await change('c', { change: 'up' })
      await change('a', { change: 'withdraw' })
      const twice = await refused(change('a', { change: 'withdraw' }))
      assert.equal(twice.code, 'conflict')
      assert.equal((twice.details as { by?: string }).by, 'admin')
      assert.equal((await refused(change('z', { change: 'up' }))).code, 'not_found')
      await client.runs.input(run, { prompt: 'say urgent!', input_id: 'now', now: true })
      await waitForText(run, 'urgent!c!edited!')
      const late = await refused(change('b', { change: 'edit', text: 'say too late' }))
      assert.equal(late.code, 'conflict')
      assert.match(late.message, /was taken at/)
      await client.runs.input(run, { close: true })
      assert.equal((await programs.ended(run)).status, 'success')
      assert.equal(await messages(run), 'begunurgent!c!edited!')
    },
  )

  await t.test('the model switches to one that the agent offers, also for the run after', async () => {
    const run = await ask({
      ...able('model=small', 'model=large', 'model=refused'),
      prompt: 'model',
      interactive: true,
    })
    await waitForText(run, 'at small')
    await client.runs.input(run, { model: 'large' })
    await client.runs.input(run, { model: 'refused' })
    await client.runs.input(run, { prompt: 'model' })
    await waitForText(run, 'at large')
    const no = await refused(client.runs.input(run, { model: 'gigantic' }))
    assert.match(no.message, /cannot be switched to "gigantic"/)
    assert.match(no.hint!, /small, large, refused/)
    await client.runs.input(run, { close: true })
    await programs.ended(run)
    const all = await updates(run)
    assert.deepEqual(
      all.filter((each) => each.kind === 'model'),
      [
        { kind: 'model', model: 'large', who: 'admin' },
        { kind: 'model', model: 'refused', who: 'admin', refused: 'not today' },
      ],
    )
    const { run_id } = await client.runs.input(run, { prompt: 'model', interactive: false })
    await programs.ended(run_id)
    assert.match(await messages(run_id), /at large/)
  })

  await t.test('an ended session is forked if its agent can, otherwise an error says so', async () => {
    const log = join(programs.home, 'agent.log')
    const agent = { ...able('fork'), env: { STAND_IN_LOG: log } }
    const run = await ask({ ...agent, prompt: 'say one\nwrite kept.txt\nwait go' })
    await waitForText(run, 'one')
    const early = await refused(client.runs.input(run, { prompt: 'say x', fork: true }))
    assert.equal(early.code, 'conflict')
    go(run, 'go')
    await programs.ended(run)
    const forked = await programs.call('sessions', 'fork', run, 'say two\nrun test -f kept.txt', '--json')
    assert.equal(forked.code, 0, forked.stderr)
    const { run_id, continues } = JSON.parse(forked.stdout)
    assert.equal(continues, run)
    await programs.ended(run_id)
    const ids = async (id: string) =>
      (await updates(id)).flatMap((each) => (each.kind === 'session' ? [each.session_id] : []))
    const [[first], [second]] = [await ids(run), await ids(run_id)]
    assert.match(readFileSync(log, 'utf8'), new RegExp(`session/fork ${second} of ${first}`))
    assert.notEqual(first, second)
    const next = await client.runs.input(run_id, { prompt: 'say three' })
    await programs.ended(next.run_id)
    assert.deepEqual(await ids(next.run_id), [second])
    const plain = await ask({ ...able(), prompt: 'say one' })
    await programs.ended(plain)
    const cannot = await refused(client.runs.input(plain, { prompt: 'say two', fork: true }))
    assert.match(cannot.message, /cannot branch a session/)
  })
})
