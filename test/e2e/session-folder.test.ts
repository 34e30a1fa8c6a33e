import assert from 'node:assert/strict'
import test from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import { eventually } from '../support/errand-command.ts'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

const commit = 'git -c user.name=Agent -c user.email=a@example.org commit -qam'

test("a session's folder can be viewed while it runs, and its change is stored at the end", async (t) => {
  const { repository, token, programs } = await taskPlace(t, {
    script: [
      runTurn(`echo "Better." >> README.md && ${commit} "Better words"; printenv API_KEY > key.txt`),
      { text: 'Done so far.' },
      runTurn('ln -s /etc/passwd link; echo more > more.txt'),
      { text: 'And more.' },
    ],
  })
  const { client, call } = programs
  await client.secrets.set('API_KEY', { value: 'a-value-that-nobody-sees' })
  await client.users.create({ name: 'bob', password: 'long enough' })
  const as = async (username: string) => {
    const { token: bearer } = await client.auth.login(username, 'long enough')
    return new ErrandClient({ url: programs.url, token: bearer })
  }
  const bob = await as('bob')
  const { run_id } = await client.runs.create({
    agent: {
      ...{ prompt: 'Mend it', agent: 'builtin', model: 'm', interactive: true },
      workspace: { repo: repository.cloneUrl, branch: 'fix' },
      secrets: ['API_KEY'],
    },
  })
  const { sessions } = client
  const idle = (turns: number) =>
    eventually('the end of its turn', async () => {
      let ended = 0
      const { last_seq } = await client.runs.get(run_id)
      for await (const event of client.events(run_id)) {
        if (event.type === 'agent.update' && event.update.kind === 'turn_ended') ended++
        if (event.seq >= last_seq) return ended >= turns
      }
      return false
    })
  await idle(1)
  const { commits, repository: has } = await sessions.workspace(run_id)
  assert.deepEqual([has, commits.map(({ subject }) => subject)], [true, ['Better words']])
  const diffOf = async (n?: number) => await new Response(await sessions.change(run_id, { commit: n })).text()
  const whole = await diffOf()
  assert.match(whole, /\+Better\.\n/)
  assert.match(whole, /\+\+\+ b\/key\.txt\n@@ -0,0 \+1 @@\n\+\*\*\*\n/)
  assert.doesNotMatch(await diffOf(1), /key\.txt/)
  assert.equal((await sessions.file(run_id, 'key.txt')).text, '***\n')
  const names = (await sessions.files(run_id)).entries.map(({ name }) => name)
  assert.ok(names.includes('README.md') && names.includes('key.txt'))

  for (const query of [
    () => bob.sessions.workspace(run_id),
    () => bob.sessions.files(run_id),
    () => bob.sessions.file(run_id, 'README.md'),
    () => bob.sessions.change(run_id),
  ])
    await assert.rejects(query, { code: 'run_not_found' })
  await sessions.share(run_id, { user: 'bob' })
  assert.equal((await bob.sessions.file(run_id, 'README.md')).text, 'The shop.\nBetter.\n')

  // A running session outlives its runner, and the next runner shows it.
  await programs.kill('runner')
  const away = await sessions.files(run_id).catch((error) => error)
  assert.deepEqual([away.code, /not connected|link/.test(away.message)], ['unavailable', true])
  await programs.startRunner()
  await programs.runner!.until('Connected to the hub')
  await client.runs.input(run_id, { prompt: 'More' })
  await idle(2)
  assert.match(await diffOf(), /b\/more\.txt/)
  for (const path of ['link', '../x', '/etc/passwd'])
    await assert.rejects(sessions.file(run_id, path), { code: 'forbidden' }, path)
  const listed = await call('sessions', 'files', run_id)
  assert.match(listed.stdout, /README\.md +18/)
  assert.equal((await call('sessions', 'files', run_id, 'README.md')).stdout, 'The shop.\nBetter.\n')
  assert.match((await call('sessions', 'diff', run_id, '--stat')).stdout, /more\.txt/)

  await client.runs.input(run_id, { close: true })
  await programs.ended(run_id)
  const over = await sessions.workspace(run_id).catch((error) => error)
  assert.deepEqual([over.code, /errand runs diff/.test(over.hint)], ['not_found', true])
  const stored = (await client.runs.artifacts(run_id)).artifacts
  assert.deepEqual(
    stored.map(({ kind }) => kind),
    ['patch', 'diff'],
  )
  const last = await new Response(await client.runs.diff(run_id)).text()
  assert.match(last, /b\/more\.txt/)
  assert.doesNotMatch(last + whole, new RegExp(`nobody-sees|${token}`))
})
