import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { isFinalTask } from '../../src/contract/tasks/task.ts'
import type { TaskView } from '../../src/contract/tasks/task-api.ts'
import { eventually } from '../support/errand-command.ts'
import { runTurn, type Turn } from '../support/model-server/server.ts'
import { guardsOf, processesOf } from '../support/programs.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

/** Says where a try is held when the programs are killed. */
interface Moment {
  name: string
  /** A request of git or of the API, which is held before it is carried out or, with `isTaken`, afterwards. */
  forge?: { match: (path: string) => RegExp; isTaken?: boolean }
  /**
   * The run of the playbook's command that is held: `setup` runs once, `test` first in the agent's step, then in its
   * own.
   */
  command?: ['setup' | 'test', number]
  /** Holds the agent's words. This step comes after them. */
  model?: { until?: string }
  /** Whether the work was saved before. */
  isStored: boolean
}

const git = (path: string, what: string) => new RegExp(`${path}\\.git/${what}`)
const pulls = (path: string) => new RegExp(`^POST /api/v3/repos/${path}/pulls$`)

const moments: Moment[] = [
  { name: 'check', forge: { match: (path) => git(path, 'info/refs') }, isStored: false },
  { name: 'workspace', forge: { match: fetching }, isStored: false },
  { name: 'setup', command: ['setup', 1], isStored: false },
  { name: 'implement', model: {}, isStored: false },
  { name: 'verify', command: ['test', 1], isStored: false },
  { name: 'carry', model: { until: 'carry' }, isStored: false },
  { name: 'test', command: ['test', 2], isStored: true },
  { name: 'push', forge: { match: pushing }, isStored: true },
  { name: 'pushed', forge: { match: pushing, isTaken: true }, isStored: true },
  { name: 'pull', forge: { match: pulls }, isStored: true },
  { name: 'pulled', forge: { match: pulls, isTaken: true }, isStored: true },
  { name: 'asking', forge: { match: asking }, isStored: true },
]

function fetching(path: string): RegExp {
  return new RegExp(`^POST /${path}\\.git/git-upload-pack`)
}

function pushing(path: string): RegExp {
  return new RegExp(`^POST /${path}\\.git/git-receive-pack`)
}

function asking(path: string): RegExp {
  return new RegExp(`^POST /api/v3/repos/${path}/pulls/\\d+/requested_reviewers$`)
}

for (const which of [['runner'], ['hub', 'runner']] as const)
  test(`a ${which.join(' and a ')} killed in any stage of a task does not affect its work`, {
    skip: sandboxMissing(),
  }, async (t) => {
    await killed(t, which)
  })

async function killed(t: TestContext, which: readonly ('hub' | 'runner')[]): Promise<void> {
  const gates = Object.fromEntries(moments.map(({ name }) => [name, Promise.withResolvers<void>()]))
  const { forge, server, programs } = await taskPlace(t, {
    async script({ model, toolResults }): Promise<Turn> {
      if (moments.find(({ name }) => name === model)?.model) await gates[model]!.promise
      return toolResults.length > 0 ? { text: 'It is made.' } : runTurn('echo made > made.txt')
    },
    programs: { hubEnv: { ERRAND_TASK_RETRY: '1s' } },
  })
  const open = () => {
    for (const { resolve } of Object.values(gates)) resolve()
  }
  t.after(open)
  const pushes: string[] = []
  const { onEvent } = forge.state
  forge.state.onEvent = (repository, event, payload) => {
    if (event === 'push') pushes.push(repository.path)
    onEvent(repository, event, payload)
  }
  const made = moments.map((moment) => {
    const { name, command } = moment
    const repository = forge.makeRepository(`kills/${name}`, {
      files: { 'README.md': 'A shop.\n' },
      isPrivate: true,
      rights: { errand: 'write', ada: 'write' },
    })
    const gate = gates[name]!.promise
    if (moment.forge) {
      const match = moment.forge.match(repository.path)
      forge.fault({ match, how: moment.forge.isTaken ? { answer_after: gate } : { until: gate } })
    }
    const mark = (phase: string) => join(programs.home, `${name}-${phase}`)
    const hold = command && `${mark(command[0])}.hold${command[1]}`
    if (hold) writeFileSync(hold, '')
    const steps = ['setup', 'test'].map((phase) => ({
      ...{ name: phase, phase },
      command: `printf x >> ${mark(phase)}; while [ -e ${mark(phase)}.hold$(wc -c < ${mark(phase)}) ]; do sleep 0.05; done`,
    }))
    const task = {
      task_id: name,
      title: `Make it: ${name}`,
      repo_url: repository.cloneUrl,
      model: name,
      playbook: { name: 'shop', steps },
      pull_request: { reviewers: ['ada'] },
      run_retries: 6,
    }
    return { moment, repository, task, hold, mark }
  })
  const { client } = programs
  const { tasks } = await client.tasks.create({ tasks: made.map(({ task }) => task) })
  const idOf = (name: string) => tasks.find(({ task_id }) => task_id === name)!.id

  const isHeld = ({ moment, repository, mark }: (typeof made)[number]): boolean => {
    const { name, command, model } = moment
    if (moment.forge) {
      const match = moment.forge.match(repository.path)
      if (!forge.seen.some(({ method, path }) => match.test(`${method} ${path}`))) return false
      if (name === 'pushed') return pushes.includes(repository.path)
      return name !== 'pulled' || repository.tickets.length > 0
    }
    if (model) return server.requests.some((request) => request.model === name)
    const [phase, count] = command!
    return existsSync(mark(phase)) && statSync(mark(phase)).size === count
  }
  await eventually('all tasks at their gates', () => made.every(isHeld))
  for (const { moment } of made) {
    if (moment.model?.until === undefined) continue
    gates[moment.name]!.resolve()
    const { run_id } = await client.tasks.get(idOf(moment.name))
    for await (const event of client.events(run_id!))
      if (event.type === 'attempt.created' && event.step === moment.model.until) break
  }
  const requestsOf = (name: string) => server.requests.filter(({ model }) => model === name).length
  await programs.kill(...which)
  const requestsBefore = new Map(moments.map(({ name }) => [name, requestsOf(name)]))
  for (const { hold } of made) if (hold) rmSync(hold)
  open()
  for (const name of which) await (name === 'hub' ? programs.startHub() : programs.startRunner())

  const views = new Map<string, TaskView>()
  await eventually('the end of all tasks', async () => {
    for (const { moment } of made) {
      if (views.has(moment.name)) continue
      const view = await client.tasks.get(idOf(moment.name)).catch(() => undefined)
      if (view && (isFinalTask(view.state) || view.state === 'in_review')) views.set(moment.name, view)
    }
    return views.size === made.length
  })
  for (const { moment, repository } of made) {
    const { name, isStored } = moment
    const view = views.get(name)!
    const description = `${name}: ${JSON.stringify({ state: view.state, message: view.message, tries: view.tries })}`
    assert.equal(view.state, 'in_review', description)
    const branches = forge.state.git(repository.path, ['for-each-ref', '--format=%(refname:short)'])
    assert.deepEqual(branches.split('\n').sort(), [view.pushed?.branch, 'main'].sort(), description)
    const commits = forge.state.git(repository.path, ['rev-list', '--count', `main..${view.pushed!.branch}`])
    assert.equal(commits, '1', description)
    assert.equal(pushes.filter((path) => path === repository.path).length, 1, description)
    assert.equal(repository.tickets.length, 1, description)
    assert.deepEqual(repository.tickets[0]?.pull?.reviewers, ['ada'], description)
    if (isStored)
      assert.equal(requestsOf(name), requestsBefore.get(name), `no model was called again: ${description}`)
  }
  await eventually('checkouts that are returned', () => {
    const slots = globSync('**/slots/*/state.json', { cwd: programs.runnerFolder })
    assert.ok(slots.length > 0)
    const states = slots.map((path) => JSON.parse(readFileSync(join(programs.runnerFolder, path), 'utf8')))
    // A kept checkout belongs to nobody: the next run that needs the repository gets it.
    return states.every(({ phase, run_id }) => phase === 'kept' || run_id === undefined)
  })
  await eventually('the end of what the tasks started', () => {
    const own = new Set([programs.hub.child.pid, programs.runner!.child.pid, ...guardsOf(programs.home)])
    return processesOf(programs.home).every((pid) => own.has(pid))
  })
}
