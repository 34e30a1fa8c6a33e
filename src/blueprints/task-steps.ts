import { ErrandError } from '../contract/errors.ts'
import type { ForgeRights } from '../contract/step-secrets.ts'
import { SNAPSHOT_REF } from '../contract/tasks/actions.ts'
import type { ForgeKind } from '../contract/tasks/forge.ts'
import type { Playbook } from '../contract/tasks/playbook.ts'
import type { Task } from '../contract/tasks/task.ts'
import type { Checkpoint, TaskStage } from '../contract/tasks/task-log.ts'
import type { WorkflowFile } from '../contract/workflow.ts'
import { type TaskPromptFacts, taskPrompt } from './task-prompt.ts'
import { commitMessage } from './task-texts.ts'
import { plain } from './workflow.ts'

/** The inputs of a try, in addition to the task. */
export interface TaskRunAsk {
  /** `task_…` */
  id: string
  /** Number of the try, from 1. */
  number: number
  /** The first stage that has to be done. */
  stage: TaskStage
  /** Saved work of an earlier try, which is resumed. */
  checkpoint?: Checkpoint
  /** Pushed work of other tasks on which this one builds. */
  stack?: readonly { id: string; branch: string }[]
  /** Whether an earlier try has reported its pull request, and so has finished opening it. */
  has_pull_request?: boolean
  /** Reports on its pull request, in fences: the reason for this try. */
  feedback?: string
  /** The source of the token for steps that use the repository and its forge; absent: their runner's own. */
  token?: string | { secret?: string; mounted?: string } | { app: { host: string; repository: string } }
  /** The kind of its forge, if it is configured. */
  forge?: { kind: ForgeKind; api_url?: string }
  /** The source of the model key for the agents `builtin` and `acp`; absent: their runner's own. */
  model_key?: { secret: string }
  /** The hub's playbooks, in their order, for a repository without a matching one. */
  playbooks?: readonly Playbook[]
  /** The variable that gets the token. Default `GIT_TOKEN`. */
  token_env?: string
  author?: string
  committer?: string
  /** Milliseconds since 1970; default: now. Commits have this date, however often a step runs. */
  now_ms?: number
  /** Makes a name that authors of the task's texts cannot know. */
  fence_id?: () => string
}

export type Step = WorkflowFile['steps'][number]
type Args = Record<string, unknown>
type Secrets = Exclude<NonNullable<Step['secrets']>, readonly string[]>
type AgentChoice = Pick<Task, 'agent' | 'model' | 'command' | 'proxy_env'>

const defaultProtection = [
  {
    paths: ['.github/workflows/**', '.gitlab-ci.yml', '.gitea/**', '.forgejo/**', '.husky/**', '.errand/**'],
    decision: 'ask',
  },
  {
    paths: [
      '**/test/**',
      '**/tests/**',
      '**/__tests__/**',
      '**/*.test.*',
      '**/*.spec.*',
      '**/*_test.*',
      '**/test_*',
    ],
    decision: 'flag',
  },
] as const

/** Makes the single steps of a try, each with what it needs of the task. */
export class TaskSteps {
  readonly #task: Task
  readonly #ask: TaskRunAsk

  constructor(task: Task, ask: TaskRunAsk) {
    this.#task = task
    this.#ask = ask
  }

  /**
   * Makes the step that carries the change out of the box: the tree that passed or, with `asItIs`, the folder's present
   * state, where perhaps none passed; `mended`: after an agent had conflicts to mend.
   */
  copyStep(
    name: string,
    when?: string,
    { asItIs = false, mended }: { asItIs?: boolean; mended?: true } = {},
  ): Step {
    const { commits } = this.#task
    const { id, author, committer, feedback, now_ms = Date.now() } = this.#ask
    return {
      name,
      action: 'git.carry',
      when,
      args: {
        start: '${START_SHA}',
        // The merge of joined branches exists only in this workspace, not at the repository.
        below: (this.#ask.stack?.length ?? 0) > 1 ? '${BASE_SHA}' : undefined,
        snapshot: asItIs ? undefined : SNAPSHOT_REF,
        // Pushed commits stay unchanged, and new ones go on top.
        commits: feedback === undefined ? commits : 'keep',
        message: plain(commitMessage(this.#task)),
        author: author && plain(author),
        committer: committer && plain(committer),
        trailers: { 'Errand-Task': id, 'Errand-Run': '${ERRAND_RUN_ID}' },
        date: Math.floor(now_ms / 1000),
        mended,
        protect: this.protection(),
      },
      env: this.#env(),
      secrets: unlessEmpty(this.#all()),
    }
  }

  #env(): Step['env'] {
    const { env } = this.#task
    return env && (plain(env) as typeof env)
  }

  /** Returns the task's own secrets for a step whose processes get none of them, so that its output masks them. */
  #hidden(): Secrets {
    return Object.fromEntries((this.#task.secrets ?? []).map((name) => [name, { as: 'mask' }]))
  }

  /**
   * Returns every secret that any step of the task gets, for the steps through which its change leaves the box: the
   * change must not contain one. A token that an App makes differs for each step.
   */
  #all(): Secrets {
    const { token, token_env = 'GIT_TOKEN', model_key } = this.#ask
    const held = typeof token === 'string' ? { secret: token } : token
    const isMade = held === undefined || 'app' in held
    return {
      ...(model_key && { [model_key.secret]: { as: 'mask' } }),
      ...(!isMade && { [held.secret ?? token_env]: { ...held, as: 'mask' } }),
      ...this.#hidden(),
    }
  }

  /** Returns the rules for files, the task's own first. */
  protection(): unknown {
    const { protect } = this.#task
    const own = Array.isArray(protect)
      ? protect.map((rule) => (typeof rule === 'string' ? { paths: [rule], decision: 'forbid' } : rule))
      : []
    return plain([...own, ...defaultProtection])
  }

  playbook(name: string, phase: 'setup' | 'test'): Step {
    const { playbook, playbook_path, test_commands, fail_fast, required_skill, metadata } = this.#task
    const { secrets, limits, resources, timeout_seconds, fresh } = this.#task
    const { task_id, spec_name, title, branch_name, repo_url, priority } = this.#task
    return {
      name,
      action: 'playbook.run',
      args: {
        phase,
        start: '${START_SHA}',
        playbook,
        playbook_path: playbook_path && plain(playbook_path),
        test_commands,
        fail_fast,
        skill: required_skill && plain(required_skill),
        playbooks: this.#playbooks(),
        metadata,
        task: { task_id, spec_name, title, required_skill, branch_name, repo_url, priority },
        timeout_seconds,
        fresh: phase === 'test' && fresh ? '${TIP_SHA}' : '',
      },
      env: this.#env(),
      secrets,
      ...{ limits, resources },
    }
  }

  /** Returns the hub's playbooks for the task's skill and for any; undefined when none of them can be chosen. */
  #playbooks(): readonly Playbook[] | undefined {
    const { playbook, playbook_path, test_commands = [], required_skill } = this.#task
    if (playbook !== undefined || playbook_path !== undefined || test_commands.length > 0) return undefined
    const fitting = this.#ask.playbooks?.filter(
      ({ required_skill: skill }) => skill === undefined || skill === required_skill,
    )
    return fitting?.length ? fitting : undefined
  }

  verdict(reason: 'gave_up' | 'review', message: string, when: string): Step {
    return { name: reason, action: 'task.verdict', args: { reason, message }, when, on_demand: true }
  }

  agent({ agent, model, command, proxy_env }: AgentChoice = this.#task): Args {
    const { llm, budget } = this.#task
    const chosen = model ?? (agent === 'builtin' ? llm.model : undefined)
    return {
      ...{ agent: plain(agent), model: chosen && plain(chosen), budget },
      command: command && plain(command),
      proxy_env,
    }
  }

  /** Returns an agent's environment and limits: it gets none of the task's secrets except the key of its model. */
  agentStep(agent = this.#task.agent): Pick<Step, 'env' | 'limits' | 'resources' | 'secrets'> {
    const { llm, limits, resources, llm_api_key_env_var } = this.#task
    const ofModel: Record<string, string | number> = agent === 'builtin' ? modelEnv(llm) : {}
    const all = { ...ofModel, ...this.#env() }
    const variable =
      agent === 'builtin' ? 'OPENAI_API_KEY' : agent === 'acp' ? llm_api_key_env_var : undefined
    const key = variable === undefined ? undefined : this.#ask.model_key
    return {
      env: Object.keys(all).length === 0 ? undefined : all,
      ...{ limits, resources },
      secrets: unlessEmpty({ ...this.#hidden(), ...(key && { [variable!]: key }) }),
    }
  }

  prompt(
    kind: TaskPromptFacts['kind'],
    more: { plan?: string; change?: string; findings?: string; figures?: string; conflicts?: string } = {},
  ): string {
    const { checkpoint, feedback, fence_id = randomFence } = this.#ask
    const { protect } = this.#task
    const forbidden = (Array.isArray(protect) ? protect : []).flatMap((rule) =>
      typeof rule === 'string' ? [rule] : rule.decision === 'forbid' ? rule.paths : [],
    )
    return taskPrompt({
      ...{ kind, task: this.#task, forbidden },
      fence_id: fence_id(),
      begun: checkpoint !== undefined,
      feedback: kind === 'implement' ? feedback : undefined,
      variables: { tests: kind === 'review' ? undefined : 'TEST_COMMANDS', ...more },
    })
  }

  /** Makes a step that uses the repository or its forge; no other has the token. */
  withToken(name: string, action: string, args: Args): Step {
    const { forge } = this.#ask
    const isForge = action.startsWith('forge.')
    const token = this.#tokenFor(
      isForge ? 'pull_request' : args.write || action === 'git.push' ? 'write' : 'read',
    )
    const env = this.#ask.token_env ?? 'GIT_TOKEN'
    const known = action === 'git.push' ? this.#all() : this.#hidden()
    return {
      name,
      action,
      args: { repo: plain(repositoryOf(this.#task)), token_env: env, ...(isForge && { forge }), ...args },
      secrets: unlessEmpty({ ...known, ...(token !== undefined && { [env]: token }) }),
    }
  }

  /** Returns the token of a step; an App makes one for each step, with only the rights that the step needs. */
  #tokenFor(rights: ForgeRights) {
    const { token } = this.#ask
    if (typeof token !== 'object' || !('app' in token)) return token
    return { forge: { ...token.app, rights } }
  }
}

const unlessEmpty = (secrets: Secrets): Secrets | undefined =>
  Object.keys(secrets).length === 0 ? undefined : secrets

function randomFence(): string {
  return `text-${crypto.randomUUID().replaceAll('-', '').slice(0, 16)}`
}

/** Returns the variables that point the agent `builtin` to a model service. */
function modelEnv({
  endpoint,
  timeout_seconds,
  max_tokens,
  retry_count,
}: Task['llm']): Record<string, string | number> {
  return {
    ...(endpoint !== undefined && { OPENAI_BASE_URL: plain(endpoint) as string }),
    // A single answer takes no longer than this when it is streamed.
    ERRAND_MODEL_TIMEOUT_SECONDS: Math.min(timeout_seconds, 300),
    ERRAND_MODEL_RETRIES: retry_count,
    ...(max_tokens !== undefined && { ERRAND_MODEL_MAX_TOKENS: max_tokens }),
  }
}

function repositoryOf({ repo_url, metadata }: Task): string {
  const repo = repo_url ?? metadata.repo_url
  if (typeof repo === 'string' && repo.trim() !== '') return repo.trim()
  throw new ErrandError('invalid_argument', 'The task names no repository.', {
    hint: 'Add repo_url: https://git.example.com/team/project',
  })
}
