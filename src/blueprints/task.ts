import type { RunRecord } from '../contract/run.ts'
import type { Task } from '../contract/tasks/task.ts'
import type { TaskStage } from '../contract/tasks/task-log.ts'
import { DEFAULT_HOST, type Workflow, type WorkflowFile } from '../contract/workflow.ts'
import { CANNOT, CANNOT_REGEX } from './task-prompt.ts'
import { changed, pushSteps } from './task-push.ts'
import { type Step, type TaskRunAsk, TaskSteps } from './task-steps.ts'
import { bodyOf, branchOf, titleOf } from './task-texts.ts'
import { plain } from './workflow.ts'

export type { TaskRunAsk }

const stages: readonly TaskStage[] = [
  ...(['check', 'workspace', 'setup', 'plan', 'implement'] as const),
  ...(['carry', 'test', 'review', 'push', 'pull_request'] as const),
]

const findingsSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['verdict', 'findings'],
  properties: {
    verdict: { enum: ['approve', 'changes'] },
    findings: {
      type: 'array',
      maxItems: 50,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['file', 'line', 'severity', 'claim', 'evidence'],
        properties: {
          file: { type: 'string' },
          line: { type: 'integer' },
          severity: { enum: ['blocker', 'major', 'minor', 'note'] },
          claim: { type: 'string' },
          evidence: { type: 'string' },
        },
      },
    },
  },
} as const

/**
 * Makes the workflow of one try of a task: all steps that may be needed; their `when` skips the others. A try from a
 * checkpoint omits what is done. Throws `invalid_argument` for a task that names no repository.
 */
export function taskRun(
  task: Task,
  ask: TaskRunAsk,
): { blueprint: 'task'; workflow: Record<string, unknown> } {
  const workflow = new TaskWorkflow(task, ask).make()
  // As it would arrive over a wire: without undefined values.
  return { blueprint: 'task', workflow: JSON.parse(JSON.stringify(workflow)) }
}

/** Returns the task that a run is a try of, as its first step names it; undefined for another run. */
export function taskOfRun({
  blueprint,
  workflow,
}: Pick<RunRecord, 'blueprint' | 'workflow'>): string | undefined {
  if (blueprint !== 'task') return undefined
  const { steps = [] } = workflow as Partial<Workflow>
  const task = steps.find(({ action }) => action === 'git.check')?.args.task
  return typeof task === 'string' ? task : undefined
}

class TaskWorkflow {
  readonly #task: Task
  readonly #ask: TaskRunAsk
  readonly #steps: TaskSteps
  readonly #ref: string | undefined
  readonly #branch: string
  readonly #first: number
  readonly #rounds: number

  constructor(task: Task, ask: TaskRunAsk) {
    this.#task = task
    this.#ask = ask
    this.#steps = new TaskSteps(task, ask)
    this.#ref = refOf(task, ask)
    this.#branch = branchOf(task, task.task_id ?? ask.id)
    // Unfinished work of an agent is lost with its folder.
    const stage = ask.stage === 'carry' ? 'implement' : ask.stage
    const latest = ask.checkpoint === undefined ? 'implement' : 'pull_request'
    this.#first = Math.min(stages.indexOf(stage), stages.indexOf(latest))
    this.#rounds = this.#does('review') ? (task.review?.rounds ?? 0) : 0
  }

  make(): WorkflowFile {
    const { title, group, runner, labels, isolation, network, image, timeout_seconds } = this.#task
    const chosen = [group, runner, labels].some((each) => each !== undefined)
    const planned = this.#task.plan && this.#does('plan')
    return {
      version: 'v0.1',
      name: nameOf(title),
      isolation,
      network,
      image,
      inventory: chosen ? { hosts: { [DEFAULT_HOST]: { group, runner, labels } } } : undefined,
      timeout_seconds,
      // Time in which a person considers a plan, or a protected file, does not count.
      timeout_counts: 'work',
      env: this.#ask.checkpoint && {
        TIP_SHA: this.#ask.checkpoint.tip,
        ASKED: plain(this.#ask.checkpoint.asked ?? '') as string,
      },
      outputs: {
        ANSWER: '${ANSWER:-}',
        ...{ BRANCH: '${BRANCH:-}', TIP_SHA: '${TIP_SHA:-}', PUSHED_SHA: '${PUSHED_SHA:-}' },
        ...{ PR_URL: '${PR_URL:-}', TESTS: '${TESTS:-}', TESTS_TEXT: '${TESTS_TEXT:-}' },
      },
      steps: [
        ...this.#preparation(),
        ...(planned ? this.#plan() : []),
        ...this.#implementation(),
        ...(this.#does('test') ? [this.#test('test', changed)] : []),
        ...this.#review(),
        ...this.#delivery(),
      ],
      finally: this.#does('implement') ? this.#evidence() : [],
    }
  }

  /** Reports whether the try does this stage itself. */
  #does(stage: TaskStage): boolean {
    return stages.indexOf(stage) >= this.#first
  }

  /** Reports whether dependencies must be installed: a workspace that is only pushed from needs none. */
  get #isPrepared(): boolean {
    return this.#first <= stages.indexOf('review')
  }

  #preparation(): Step[] {
    const { branch, push, submodules, lfs, slot_path } = this.#task
    const { checkpoint, id, stack = [] } = this.#ask
    const check = this.#steps.withToken('check', 'git.check', {
      ref: this.#ref,
      branch: plain(this.#branch),
      on_branch: branch,
      task: id,
      write: push,
    })
    const workspace = this.#steps.withToken('workspace', 'git.workspace', {
      ref: '${BASE_REF}',
      branch: '${BRANCH}',
      rebase: checkpoint === undefined && slot_path === undefined,
      join: stack.length > 1 ? stack.map(({ branch }) => plain(branch)) : undefined,
      submodules,
      lfs,
      slot_path: slot_path && plain(slot_path),
      checkpoint: checkpoint && {
        start: checkpoint.start,
        tip: checkpoint.tip,
        artifact_id: checkpoint.artifact_id,
        run_id: checkpoint.run_id,
      },
    })
    return this.#isPrepared ? [check, workspace, this.#steps.playbook('setup', 'setup')] : [check, workspace]
  }

  /**
   * Makes the steps of a plan. A rejection with a comment makes the agent write another plan; one without a comment,
   * and any rejection of the last plan, ends the try.
   */
  #plan(): Step[] {
    const steps: Step[] = []
    for (let round = 1; round <= MAX_PLANS; round++) {
      const number = round === 1 ? '' : `.${round}`
      const when = round === 1 ? undefined : `\${CHANGE_${round - 1}:-} != ""`
      const before = round === 1 ? {} : { plan: 'PLAN', change: `CHANGE_${round - 1}` }
      const isLast = round === MAX_PLANS
      const hint = isLast ? '' : ' Reject it with a comment to get a new plan.'
      steps.push(
        {
          name: `plan${number}`,
          action: 'agent.run',
          when,
          on_demand: round > 1 || undefined,
          args: {
            ...this.#steps.agent(),
            permissions: readOnly,
            prompt: this.#steps.prompt('plan', before),
          },
          ...this.#steps.agentStep(),
          outputs: { PLAN: 'answer' },
        },
        {
          name: `plan_approval${number}`,
          action: 'approval.wait',
          when,
          on_demand: round > 1 || undefined,
          args: {
            message: `The agent has a plan: \n\${PLAN:-(none)}\nCarry it out?${hint}`,
            comment_as: isLast ? undefined : `CHANGE_${round}`,
          },
        },
      )
    }
    return steps
  }

  #implementation(): Step[] {
    if (!this.#does('implement')) return []
    const { permissions, verify_attempts, plan } = this.#task
    return [
      {
        name: 'implement',
        action: 'agent.run',
        args: {
          ...this.#steps.agent(),
          permissions: plain(permissions),
          prompt: this.#steps.prompt('implement', { plan: plan ? 'PLAN' : undefined }),
          verify_list: '${VERIFY:-}',
          verify_attempts,
          gives_up_with: CANNOT,
        },
        ...this.#steps.agentStep(),
        outputs: { ANSWER: 'answer', GAVE_UP: { from: 'answer', regex: CANNOT_REGEX, default: '' } },
      },
      this.#steps.copyStep('carry'),
      this.#steps.verdict('gave_up', 'The agent says that it cannot: ${GAVE_UP:-}', '${GAVE_UP:-} != ""'),
    ]
  }

  /**
   * Makes the steps of a review. Findings go back to the agent a limited number of times; the last reviewer reports
   * what remains.
   */
  #review(): Step[] {
    const { review, permissions, verify_attempts } = this.#task
    if (review === undefined || this.#rounds === 0) return []
    const steps: Step[] = []
    for (let round = 1; round <= this.#rounds + 1; round++) {
      const when = round === 1 ? changed : `\${REVIEW_${round - 1}:-} == "changes"`
      steps.push({
        name: `review.${round}`,
        action: 'agent.run',
        when,
        on_demand: round > 1 || undefined,
        args: {
          ...this.#steps.agent(review),
          permissions: reading,
          prompt: this.#steps.prompt('review', { figures: 'TESTS_TEXT' }),
          output_schema: findingsSchema,
        },
        ...this.#steps.agentStep(review.agent),
        outputs: {
          [`REVIEW_${round}`]: { from: 'value', json: 'verdict' },
          [`FINDINGS_${round}`]: { from: 'value', json: 'findings' },
          FINDINGS: { from: 'value', json: 'findings' },
          REVIEW: { from: 'value', json: 'verdict' },
        },
      })
      if (round > this.#rounds) break
      const condition = `\${REVIEW_${round}:-} == "changes"`
      steps.push(
        {
          name: `fix.${round}`,
          action: 'agent.run',
          when: condition,
          on_demand: true,
          args: {
            ...this.#steps.agent(),
            permissions: plain(permissions),
            prompt: this.#steps.prompt('fix', { findings: `FINDINGS_${round}` }),
            verify_list: '${VERIFY:-}',
            verify_attempts,
            gives_up_with: CANNOT,
          },
          ...this.#steps.agentStep(),
          outputs: { ANSWER: 'answer' },
        },
        { ...this.#steps.copyStep(`carry.${round + 1}`, condition), on_demand: true },
        { ...this.#test(`test.${round + 1}`, condition), on_demand: true },
      )
    }
    if (review.must_pass)
      steps.push(
        this.#steps.verdict('review', 'Findings of the reviewer remain.', '${REVIEW:-} == "changes"'),
      )
    return steps
  }

  #delivery(): Step[] {
    const { push, pull_request, network_retry_count } = this.#task
    if (!push) return []
    const steps: Step[] = []
    if (this.#does('push')) {
      const test = (name: string, when: string) => this.#test(name, when)
      steps.push(...pushSteps(this.#task, this.#steps, { test, isBare: !this.#isPrepared }))
    }
    if (pull_request === false) return steps
    const { draft = true, labels = [], reviewers = [], base } = pull_request === true ? {} : pull_request
    const findings = this.#rounds > 0 ? 'FINDINGS' : undefined
    steps.push({
      ...this.#steps.withToken('pull_request', 'forge.pull_request', {
        head: '${BRANCH}',
        base: base === undefined ? '${BASE_REF}' : plain(base),
        sha: '${TIP_SHA}',
        title: plain(titleOf(this.#task)),
        body: bodyOf({
          task: this.#task,
          id: this.#ask.id,
          variables: { tests: 'TESTS_TEXT', findings },
        }),
        draft,
        labels: plain(labels),
        reviewers: plain(reviewers),
        // A try may have ended between opening the pull request and asking the reviewers.
        ask_again: this.#ask.number > 1 && this.#ask.has_pull_request !== true,
        retry_count: network_retry_count,
      }),
      when: changed,
    })
    return steps
  }

  /** Saves the work of a failed try as evidence, and pushes it only on request. */
  #evidence(): Step[] {
    const failed = '${ERRAND_RUN_STATUS} != "success" && ${START_SHA:-} != "" && ${TIP_SHA:-} == ""'
    const idle = { continue_on_error: true, on_demand: true }
    const steps = [{ ...this.#steps.copyStep('keep', failed, { asItIs: true }), ...idle }]
    const { push, push_on_failure, git_retry_count } = this.#task
    if (!push || !push_on_failure) return steps
    const left =
      '${ERRAND_RUN_STATUS} == "failed" && ${TIP_SHA:-} != "" && ${PUSHED_SHA:-} == "" && ${ASKED:-} == ""'
    const args = {
      branch: '${BRANCH}',
      tip: '${TIP_SHA}',
      expected: '${BRANCH_SHA:-}',
      retry_count: git_retry_count,
    }
    return [...steps, { ...this.#steps.withToken('push_left', 'git.push', args), when: left, ...idle }]
  }

  #test(name: string, when: string): Step {
    const { artifacts } = this.#task
    return {
      ...this.#steps.playbook(name, 'test'),
      when,
      artifacts: artifacts.length > 0 ? artifacts : undefined,
    }
  }
}

/** The first plan, and three more. */
const MAX_PLANS = 4

const readOnly = {
  mode: 'rules',
  rules: [{ decision: 'allow', tools: ['read', 'search', 'think'] }],
  otherwise: 'deny',
}
/**
 * Allows commands, such as `git diff`; nothing that they leave behind gets into the change that was carried out before.
 */
const reading = {
  mode: 'rules',
  rules: [{ decision: 'allow', tools: ['read', 'search', 'think', 'execute'] }],
  otherwise: 'deny',
}

/**
 * Returns the base: the branch of the only task that it builds on; several are joined with the ref that the task itself
 * names.
 */
function refOf({ ref }: Task, { stack = [] }: TaskRunAsk): string | undefined {
  const [one, ...more] = stack
  const name = one !== undefined && more.length === 0 ? one.branch : ref
  return name && (plain(name) as string)
}

const MAX_NAME = 80

function nameOf(title: string): string {
  const characters = [...title.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim()]
  if (characters.length === 0) return 'task'
  return characters.length <= MAX_NAME
    ? characters.join('')
    : `${characters
        .slice(0, MAX_NAME - 1)
        .join('')
        .trimEnd()}…`
}
