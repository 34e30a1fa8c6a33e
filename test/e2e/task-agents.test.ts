import assert from 'node:assert/strict'
import test from 'node:test'
import { standInOptions } from '../support/agent-command.ts'
import { allSubjects, installedAgent } from '../support/agent-subjects.ts'
import { runTurn, type Turn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

const absent = new Map<string, string>()
for (const { name } of allSubjects) {
  if (name === 'builtin') continue
  const found = await installedAgent(name)
  if ('missing' in found) absent.set(name, found.missing)
}
const subjects = allSubjects.filter(({ name }) => !absent.has(name))
/** The agent `acp` can be any program that speaks the protocol. This one does what the lines of its prompt say. */
const own = 'acp'

test('an issue becomes a pull request with evidence by one command, for each agent', async (t) => {
  const requests = new Set<string>()
  const { forge, repository, programs, server, token } = await taskPlace(t, {
    subjects,
    script({ prompts }): Turn {
      const name = /Work of (\w+)\./.exec(prompts.join('\n'))?.[1] ?? 'nobody'
      if (requests.has(name)) return { text: 'It is made.' }
      requests.add(name)
      // Writes everything that its processes can see of a token to where the test looks.
      return runTurn(
        `{ env | grep -v _API_KEY; git config --list; } >made.txt; echo made by ${name} >>made.txt`,
      )
    },
  })
  const options = new Map([
    ...subjects.map(({ name, model }) => [name, ['--agent', name, '--model', model]] as const),
    [own, standInOptions] as const,
  ])
  const issues = new Map(
    [...options.keys()].map((name) => [
      name,
      forge.state.addIssue(repository, {
        ...{ title: `Work of ${name}.`, by: 'ada' },
        body: name === own ? 'write made.txt' : 'Make made.txt.',
      }),
    ]),
  )
  const ran = await Promise.all(
    [...options].map(async ([name, choice]) => {
      const issue = `${repository.url}/issues/${issues.get(name)!.number}`
      return [name, await programs.call('task', 'run', issue, ...choice)] as const
    }),
  )
  const { tasks } = await programs.client.tasks.list({})
  for (const [name, { code, stdout, stderr }] of ran)
    await t.test(name, async () => {
      assert.equal(code, 0, stdout + stderr)
      const { number } = issues.get(name)!
      const pulls = repository.tickets.filter(
        ({ pull, title }) => pull !== undefined && title.includes(`Work of ${name}.`),
      )
      assert.equal(pulls.length, 1)
      assert.match(pulls[0]!.body, new RegExp(`Closes .*#${number}\\b`))
      const made = forge.state.git(repository.path, ['show', `${pulls[0]!.pull!.head}:made.txt`])
      assert.match(made, name === own ? /^written$/ : new RegExp(`made by ${name}$`))
      assert.ok(!made.includes(token), 'it saw the token')
      const task = tasks.find(({ task_id }) => task_id === String(number))!
      const { artifacts } = await programs.client.tasks.artifacts(task.id)
      const names = artifacts.map(({ artifact }) => artifact.name)
      for (const evidence of ['checkpoint.pack', 'change.diff', 'files.json'])
        assert.ok(names.includes(evidence), `${evidence} is not one of ${names}`)
    })
  for (const [name, why] of absent) await t.test(name, { skip: why }, () => undefined)
  assert.ok(!JSON.stringify(server.requests.map(({ body }) => body)).includes(token), 'a model received it')
})
