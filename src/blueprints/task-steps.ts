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

/** The things that a try of a task begins with, beside the task. */
export interface TaskRunAsk {
  /** `task_…` */
  id: string
  /** Of the try, from 1. */
  number: number
  /** The first stage that is to be done. */
  stage: TaskStage
  /** Work of an earlier try, which is taken up. */
  checkpoint?: Checkpoint
  /** Pushed work of other tasks that it stands on. */
  stack?: readonly { id: string; branch: string }[]
  /** Whether an earlier try has told of its pull request, and so has done all that belongs to opening it. */
  has_pull_request?: boolean
  /** Said against its pull request since, in fences: what this try is for. */
  feedback?: string
  /** Where steps that talk to the repository and its forge have their token from; absent: they have what their runner has. */
  token?: string | { secret?: string; mounted?: string } | { app: { host: string; repository: string } }
  /** Which forge its host is, as far as that is said. */
  forge?: { kind: ForgeKind; api_url?: string }
  /** Where the agents `builtin` and `acp` have the key of their model from; absent: it has what its runner has. */
  model_key?: { secret: string }
  /** The hub's own, in their order, for a repository that has none that fits. */
  playbooks?: readonly Playbook[]
  /** The variable that the token goes into. Default `GIT_TOKEN`. */
  token_env?: string
  author?: string
  committer?: string
  /** Milliseconds since 1970; default: now. Commits have this date, however often a step is done again. */
  now_ms?: number
  /** Makes a name that nobody can know who wrote a text of the task. */
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

/** The single steps of a try, by what each of them needs of the task. */
export class TaskSteps {
  readonly #task: Task
  readonly #ask: TaskRunAsk

  constructor(task: Task, ask: TaskRunAsk) {
    this.#task = task
    this.#ask = ask
  }

  /**
   * Carries out the tree that passed; `asItIs`: the folder as it is, where it may be that none did; `mended`: of an agent that
   * had conflicts to mend.
   */
  carry(
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
        // Branches that were joined have no commit that is everywhere.
        below: (this.#ask.stack?.length ?? 0) > 1 ? '${BASE_SHA}' : undefined,
        snapshot: asItIs ? undefined : SNAPSHOT_REF,
        // What is pushed stays as it is, and what comes now stands on it.
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

  /** The task's own secrets for a step whose processes have none of them: what it puts out hides them. */
  #hidden(): Secrets {
    return Object.fromEntries((this.#task.secrets ?? []).map((name) => [name, { as: 'mask' }]))
  }

  /**
   * All that any step of the task is given, for those through which its change leaves: none of it leaves with that. A token that an App
   * makes is another one for each step.
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

  /** The rules for files, the task's own first. */
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

  /** The hub's for the task's skill and for any; undefined where none of them could be chosen. */
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

  /** The surroundings of an agent: none of the task's secrets is among them but the key of its model. */
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

  /** A step that talks to the repository or its forge; no other has the token. */
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

  /** An App makes each step a token that may do what that step does. */
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

/** Variables by which the agent `builtin` is pointed at a service of models. */
function modelEnv({
  endpoint,
  timeout_seconds,
  max_tokens,
  retry_count,
}: Task['llm']): Record<string, string | number> {
  return {
    ...(endpoint !== undefined && { OPENAI_BASE_URL: plain(endpoint) as string }),
    // One answer takes no longer where it comes piece by piece.
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
