import assert from 'node:assert/strict'
import test from 'node:test'
import { type ActionCatalog, builtinActions } from '../contract/actions.ts'
import { secretUses } from '../contract/step-secrets.ts'
import * as taskActions from '../contract/tasks/actions.ts'
import { Task, type TaskInput } from '../contract/tasks/task.ts'
import type { Checkpoint } from '../contract/tasks/task-log.ts'
import type { Step, Workflow } from '../contract/workflow.ts'
import { checkWorkflow } from '../engine/workflow-file/check.ts'
import { fillArgs, lookupIn } from '../engine/workflow-file/template.ts'
import { evaluateWhen, parseWhen } from '../engine/workflow-file/when.ts'
import { type TaskRunAsk, taskRun } from './task.ts'

const host = (args: ActionCatalog[string]['args'], raw: readonly string[] = []) =>
  ({ args, raw, place: 'host' }) as const
/** The engine's catalog, for steps that no file may have. */
const catalog: ActionCatalog = Object.fromEntries(
  Object.entries<ActionCatalog[string]>({
    ...builtinActions,
    'git.check': host(taskActions.GitCheckArgs),
    'git.workspace': host(taskActions.GitWorkspaceArgs),
    'git.carry': host(taskActions.GitCarryArgs),
    'git.push': host(taskActions.GitPushArgs),
    'forge.pull_request': host(taskActions.ForgePullRequestArgs),
  }).map(([name, { made_by, ...rest }]) => [name, rest]),
)

const sha = (digit: string) => digit.repeat(40)
const checkpoint: Checkpoint = {
  ...{ start: sha('a'), tip: sha('b'), artifact_id: '7.1', run_id: 'run_before', next: 'push' },
}

function workflowOf(overrides: Partial<TaskInput> = {}, ask: Partial<TaskRunAsk> = {}): Workflow {
  const task = Task.parse({ title: 'Mend it', repo_url: 'https://git.example/shop/web', ...overrides })
  const { workflow } = taskRun(task, { id: 'task_1', number: 1, stage: 'check', now_ms: 5000, ...ask })
  const checked = checkWorkflow(workflow, { catalog })
  assert.deepEqual(checked.problems, [])
  return checked.workflow!
}

const names = ({ steps }: Workflow) => steps.map(({ name }) => name)
const step = (workflow: Workflow, name: string): Step =>
  [...workflow.steps, ...(workflow.finally ?? [])].find((each) => each.name === name)!

/** Returns the names of the steps that run when earlier steps set these values. */
function run(workflow: Workflow, vars: Record<string, string>): string[] {
  const lookup = lookupIn(vars)
  return workflow.steps
    .filter(({ when }) => when === undefined || evaluateWhen(parseWhen(when), lookup))
    .map(({ name }) => name)
}

const first = ['check', 'workspace', 'setup']
const last = ['push', 'pull_request']
/** Includes the steps that are skipped when nobody has moved the branch. */
const pushing = ['protected_approval', 'push', 'test.moved_1', 'push.2', 'test.moved_2', 'push.3']

test('a task is checked, prepared, implemented, carried out, tested, pushed and proposed', () => {
  const workflow = workflowOf()
  const changed = run(workflow, { TIP_SHA: sha('b') })
  assert.deepEqual(changed, [...first, 'implement', 'carry', 'test', ...last])
  assert.deepEqual(run(workflow, { TIP_SHA: '' }), [...first, 'implement', 'carry'])
  const gaveUp = run(workflow, { TIP_SHA: '', GAVE_UP: 'no' })
  assert.deepEqual(gaveUp, [...first, 'implement', 'carry', 'gave_up'])
  assert.equal(workflow.timeout_seconds, 1800)
  assert.deepEqual(names(workflowOf({ pull_request: false })).slice(6), ['test', ...pushing])
  const result = run(workflow, { TIP_SHA: sha('b'), ASKED: '"a"' })
  assert.deepEqual(result, [...first, 'implement', 'carry', 'test', 'protected_approval', ...last])
  const dry = workflowOf({ push: false })
  assert.equal(names(dry).at(-1), 'test')
  assert.equal(step(dry, 'check').args.write, false)
})

test('a person approves a plan before anything is changed, and the plan is in the prompt', () => {
  const workflow = workflowOf({ plan: true })
  const done = { TIP_SHA: sha('b') }
  const rest = ['implement', 'carry', 'test', ...last]
  assert.deepEqual(run(workflow, done), [...first, 'plan', 'plan_approval', ...rest])
  assert.match(String(step(workflow, 'implement').args.prompt), /\$\{PLAN:-\}/)
  assert.equal((step(workflow, 'plan').args.permissions as { otherwise: string }).otherwise, 'deny')
  assert.deepEqual([workflow.timeout_seconds, workflow.timeout_counts], [1800, 'work'])

  // A person asks for another plan, three times at most.
  const more = [2, 3, 4].flatMap((round) => [`plan.${round}`, `plan_approval.${round}`])
  const changes = { CHANGE_1: 'a', CHANGE_2: 'b', CHANGE_3: 'c' }
  assert.deepEqual(run(workflow, { ...done, ...changes }), [
    ...[...first, 'plan', 'plan_approval', ...more, ...rest],
  ])
  const twice = run(workflow, { ...done, CHANGE_1: 'a' })
  assert.deepEqual(twice, [...first, 'plan', 'plan_approval', ...more.slice(0, 2), ...rest])
  const approvals = names(workflow).filter((name) => name.startsWith('plan_approval'))
  assert.deepEqual(
    approvals.map((name) => step(workflow, name).args.comment_as),
    ['CHANGE_1', 'CHANGE_2', 'CHANGE_3', undefined],
  )
  assert.match(String(step(workflow, 'plan.3').args.prompt), /your plan so far[\s\S]*\$\{CHANGE_2:-\}/)
  assert.doesNotMatch(String(step(workflow, 'plan').args.prompt), /CHANGE|PLAN/)
})

test('review findings go back up to the set number of rounds, and any left fail a review that must pass', () => {
  const workflow = workflowOf({ review: { agent: 'codex', rounds: 2, must_pass: true } })
  const from = (vars: Record<string, string>) => run(workflow, { TIP_SHA: sha('b'), ...vars }).slice(6)
  assert.deepEqual(from({ REVIEW_1: 'approve', REVIEW: 'approve' }), ['review.1', ...last])
  const once = ['review.1', 'fix.1', 'carry.2', 'test.2', 'review.2']
  assert.deepEqual(from({ REVIEW_1: 'changes', REVIEW_2: 'approve', REVIEW: 'approve' }), [...once, ...last])
  const twice = [...once, 'fix.2', 'carry.3', 'test.3', 'review.3']
  assert.deepEqual(from({ REVIEW_1: 'changes', REVIEW_2: 'changes', REVIEW: 'changes' }), [
    ...twice,
    'review',
    ...last,
  ])
  assert.equal(step(workflow, 'review.2').args.agent, 'codex')
})

test('a later try starts from the checkpoint and does only the remaining steps', () => {
  const workflow = workflowOf({}, { stage: 'push', checkpoint })
  assert.deepEqual(run(workflow, { ...(workflow.env as Record<string, string>) }), [
    'check',
    'workspace',
    ...last,
  ])
  const { start, tip, artifact_id, run_id } = checkpoint
  assert.deepEqual(step(workflow, 'workspace').args.checkpoint, { start, tip, artifact_id, run_id })
  assert.deepEqual(names(workflowOf({}, { stage: 'test', checkpoint })), [
    ...[...first, 'test', ...pushing, 'pull_request'],
  ])
  const resumed = workflowOf({}, { stage: 'push', checkpoint: { ...checkpoint, asked: '"a"' } })
  assert.deepEqual(run(resumed, resumed.env as Record<string, string>).slice(2), [
    'protected_approval',
    ...last,
  ])
  // There is no saved work to continue.
  assert.deepEqual(names(workflowOf({}, { stage: 'push' })), names(workflowOf({}, { stage: 'implement' })))
  const again = workflowOf({}, { stage: 'carry', checkpoint })
  assert.match(String(step(again, 'implement').args.prompt), /earlier try/)
})

test('commits that were moved onto those of others are tested and pushed in rounds, if needed', () => {
  const vars = { TIP_SHA: sha('b'), MOVED: 'yes' }
  const rounds = ['test.moved_1', 'push.2', 'test.moved_2', 'push.3']
  assert.deepEqual(run(workflowOf(), vars).slice(6), [...['push', ...rounds], 'pull_request'])
  assert.deepEqual(names(workflowOf({ git_retry_count: 0 })).slice(-3), ['protected_approval', ...last])
  const later = workflowOf({}, { stage: 'push', checkpoint })
  assert.deepEqual(run(later, vars).slice(2, 5), ['push', 'setup.moved_1', 'test.moved_1'])
  const args = (workflow: Workflow, name: string) => step(workflow, name).args
  assert.deepEqual([args(later, 'push').last, args(later, 'push.3').last], [false, true])
  const based = workflowOf({ on_base_moved: 'rebase' })
  assert.deepEqual(args(based, 'push').onto, { ref: '${BASE_REF}', how: 'rebase' })
  assert.equal(args(based, 'push.2').onto, undefined)
})

test('an agent resolves conflicts if requested, at most twice', () => {
  const workflow = workflowOf({ conflicts: 'agent' })
  const vars = { TIP_SHA: sha('b'), MOVED: 'yes', CONFLICTS: '"a"' }
  const round = (n: number) => [`mend.${n}`, `carry.mended_${n}`, `test.moved_${n}`, `push.${n + 1}`]
  assert.deepEqual(run(workflow, vars).slice(6), ['push', ...round(1), ...round(2), 'pull_request'])
  assert.deepEqual(run(workflow, { ...vars, CONFLICTS: '' }).slice(6, 9), ['push', 'test.moved_1', 'push.2'])
  const { prompt } = step(workflow, 'mend.1').args
  assert.match(String(prompt), /between the markers <<<<<<<.*\$\{CONFLICTS:-\}/s)
  assert.equal(step(workflow, 'carry.mended_1').args.mended, true)
})

test('only repository and forge steps get the token, and only tests get secrets', () => {
  const workflow = workflowOf(
    { secrets: ['DB'], review: {}, plan: true, push_on_failure: true },
    { token: { mounted: 'git-token' }, token_env: 'MY_TOKEN', model_key: { secret: 'MY_KEY' } },
  )
  const uses = (of: Step) => secretUses(of.secrets ?? {})
  for (const each of [...workflow.steps, ...(workflow.finally ?? [])]) {
    const isRemote = /^(git\.(check|workspace|push)|forge\.)/.test(each.action)
    const isWayOut = each.action === 'git.carry' || each.action === 'git.push'
    const { MY_TOKEN: token, DB: own, OPENAI_API_KEY: key } = uses(each)
    assert.equal(token?.as, isRemote ? 'env' : isWayOut ? 'mask' : undefined, each.name)
    const isOfEngine = ['approval.wait', 'task.verdict'].includes(each.action)
    const use = each.action === 'playbook.run' ? 'env' : isOfEngine ? undefined : 'mask'
    assert.equal(own?.as, use, each.name)
    assert.equal(key?.as, each.args.agent === 'builtin' ? 'env' : undefined, each.name)
    assert.equal(uses(each).MY_KEY?.as, isWayOut ? 'mask' : undefined, each.name)
  }
})

test('no variable of the run is filled in within the texts of a task', () => {
  const nasty = 'a ${SECRET} b'
  const workflow = workflowOf({
    ...{ title: nasty, description: nasty, acceptance_criteria: [nasty], instructions: nasty },
    ...{ model: nasty, env: { X: nasty }, metadata: { x: nasty }, test_commands: [nasty] },
    ...{ protect: [nasty], playbook: { name: nasty }, ref: nasty, plan: true, review: { model: nasty } },
    pull_request: { title: nasty, labels: [nasty], reviewers: [nasty], base: nasty },
  })
  const value = { get: (name: string) => (name === 'SECRET' ? 'TOLD' : ''), names: () => [] }
  for (const each of [...workflow.steps, ...(workflow.finally ?? [])]) {
    const args = fillArgs(each.args, catalog[each.action]!.raw, value)
    assert.ok(!JSON.stringify(args).includes('TOLD'), each.name)
    assert.ok(!JSON.stringify(fillArgs(each.env ?? {}, [], value)).includes('TOLD'), each.name)
  }
})

test('failed work is kept, and pushed only if requested', () => {
  const ends = (overrides: Partial<TaskInput>, vars: Record<string, string>) =>
    run({ ...workflowOf(overrides), steps: workflowOf(overrides).finally! }, vars)
  const failed = { ERRAND_RUN_STATUS: 'failed', START_SHA: sha('a') }
  assert.deepEqual(ends({}, failed), ['keep'])
  assert.equal(step(workflowOf(), 'keep').args.snapshot, undefined)
  assert.deepEqual(ends({}, { ...failed, TIP_SHA: sha('b') }), [])
  assert.deepEqual(ends({}, { ...failed, ERRAND_RUN_STATUS: 'success' }), [])
  assert.deepEqual(ends({}, { ERRAND_RUN_STATUS: 'failed' }), [])
  assert.deepEqual(ends({ push_on_failure: true }, { ...failed, TIP_SHA: sha('b') }), ['push_left'])
})

test('the first matching rule decides: forbidden paths, then those that need a person, then tests', () => {
  const rules = step(workflowOf({ protect: ['db/**'] }), 'carry').args.protect as {
    paths: string[]
    decision: string
  }[]
  assert.deepEqual(
    rules.map(({ decision }) => decision),
    ['forbid', 'ask', 'flag'],
  )
  assert.match(String(step(workflowOf({ protect: ['db/**'] }), 'implement').args.prompt), /db\/\*\*/)
})

test('model settings go to the agent that has them', () => {
  const llm = { model: 'm', endpoint: 'http://models.test/v1', timeout_seconds: 900, max_tokens: 5 }
  const own = step(workflowOf({ llm }), 'implement')
  assert.deepEqual(own.env, {
    OPENAI_BASE_URL: 'http://models.test/v1',
    ERRAND_MODEL_TIMEOUT_SECONDS: 300,
    ERRAND_MODEL_RETRIES: 3,
    ERRAND_MODEL_MAX_TOKENS: 5,
  })
  assert.equal(own.args.model, 'm')
  const other = step(workflowOf({ llm, agent: 'codex' }), 'implement')
  assert.deepEqual([other.env, other.args.model], [undefined, undefined])
})

test('the acp agent gets the program that the task names, and the model key under its own name', () => {
  const own = { agent: 'acp', command: ['mine', '${SECRET}'], proxy_env: { MY_KEY: 'openai' as const } }
  const workflow = workflowOf(
    { ...own, review: { ...own, command: ['reader'] }, llm_api_key_env_var: 'MY_KEY' },
    { model_key: { secret: 'KEPT' } },
  )
  const { args, secrets } = step(workflow, 'implement')
  assert.deepEqual([args.command, args.proxy_env], [['mine', '$${SECRET}'], own.proxy_env])
  assert.deepEqual(secrets, { MY_KEY: { secret: 'KEPT', as: 'env' } })
  assert.deepEqual(step(workflow, 'review.1').args.command, ['reader'])
  const none = step(workflowOf({ agent: 'codex' }, { model_key: { secret: 'KEPT' } }), 'implement')
  assert.deepEqual([none.args.command, none.secrets], [undefined, undefined])
})

test("a task without tests gets the hub's playbooks for its skill and for any skill", () => {
  const of = (name: string, required_skill?: string) => ({ name, required_skill, steps: [] })
  const playbooks = [of('any'), of('go', 'go'), of('rust', 'rust')]
  const sent = (overrides: Partial<TaskInput>) =>
    (
      step(workflowOf(overrides, { playbooks }), 'test').args.playbooks as { name: string }[] | undefined
    )?.map(({ name }) => name)
  assert.deepEqual([sent({ required_skill: 'go' }), sent({})], [['any', 'go'], ['any']])
  assert.deepEqual([sent({ test_commands: ['x'] }), sent({ playbook_path: 'p' })], [undefined, undefined])
})

test('each agent that changes something may say that it cannot', () => {
  const workflow = workflowOf({ plan: true, review: {}, conflicts: 'agent' })
  for (const { name, action, args } of workflow.steps.filter(({ action }) => action === 'agent.run'))
    assert.equal(args.gives_up_with, /^(plan|review)/.test(name) ? undefined : 'CANNOT:', `${name} ${action}`)
})

test('a task without a repository, or with invalid branches, is refused', () => {
  assert.throws(() => workflowOf({ repo_url: undefined }), {
    code: 'invalid_argument',
    message: /no repository/,
  })
  assert.equal(
    step(workflowOf({ repo_url: undefined, metadata: { repo_url: 'https://a.example/b' } }), 'check').args
      .repo,
    'https://a.example/b',
  )
  const one = { id: 'task_2', branch: 'errand/one' }
  assert.equal(step(workflowOf({}, { stack: [one] }), 'check').args.ref, 'errand/one')
  const joined = workflowOf({ ref: 'dev' }, { stack: [one, { ...one, branch: 'errand/two' }] })
  assert.equal(step(joined, 'check').args.ref, 'dev')
  assert.deepEqual(step(joined, 'workspace').args.join, ['errand/one', 'errand/two'])
  assert.equal(step(joined, 'carry').args.below, '${BASE_SHA}')
})

test('reviewers are asked again only if an earlier try may not have asked them', () => {
  const repeatsApproval = (ask: Partial<TaskRunAsk>) => {
    const step = workflowOf({}, ask).steps.find(({ name }) => name === 'pull_request')
    return step?.args?.ask_again
  }
  assert.equal(repeatsApproval({}), false)
  assert.equal(repeatsApproval({ number: 2, stage: 'push', checkpoint }), true)
  assert.equal(repeatsApproval({ number: 2, stage: 'push', checkpoint, has_pull_request: true }), false)
})

test('a try for feedback on its pull request gets that feedback, and adds to the pushed commits', () => {
  const input = { commits: 'squash', plan: true } as const
  const ask = { checkpoint, stage: 'implement', feedback: 'Checks failed: $' + '{HOME}' } as const
  const workflow = workflowOf(input, ask)
  assert.deepEqual(names(workflow).slice(0, 5), [...first, 'implement', 'carry'])
  const lookup = lookupIn({})
  const { prompt } = fillArgs(step(workflow, 'implement').args, [], lookup) as { prompt: string }
  assert.match(prompt, /Checks failed: \$\{HOME\}/)
  assert.equal(step(workflow, 'carry').args.commits, 'keep')
  assert.equal(step(workflowOf(input, { checkpoint }), 'keep')?.args.commits ?? 'squash', 'squash')
})
