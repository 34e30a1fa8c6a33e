import { readFileSync } from 'node:fs'
import { readTaskConfig, TASK_GROUP, type TaskPool, withTaskConfig } from '../../../config/task-config.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { RunnerGroup } from '../../../contract/fleet/runner-groups.ts'
import type { TaskInput } from '../../../contract/tasks/task.ts'
import type { CreateTasksInput } from '../../../contract/tasks/task-api.ts'
import { UsageError } from '../../command.ts'
import { lineText } from '../../render/terminal-text.ts'

/** Variables that name external services for a hub and its runners. */
const variables = {
  task_registry_url: 'ERRAND_TASK_REGISTRY_URL, where the hub is started',
  repo_pool_url: 'ERRAND_REPO_POOL_URL, where the runner is started',
  artifact_store_url: 'ERRAND_ARTIFACT_STORE_URL, where the runner is started',
} as const

export interface Configured {
  request: CreateTasksInput
  /** Provisioning of the tasks' runners; absent: the runners exist already. */
  pool?: TaskPool | undefined
}

/**
 * Returns the request with the settings of a configuration file and the environment for all tasks. Warns on stderr
 * about settings that belong to the hub or the runner. Throws `invalid_argument`.
 */
export function configured(
  request: CreateTasksInput,
  file: string,
  env: NodeJS.ProcessEnv = process.env,
  report: (text: string) => void = (text) => void process.stderr.write(`${lineText(text)}\n`),
): Configured {
  const config = readTaskConfig(textOf(file), file, env)
  for (const warning of config.warnings) report(`warning: ${warning}`)
  for (const [key, variable] of Object.entries(variables))
    if (config.services[key as keyof typeof variables] !== undefined)
      report(`warning: ${key} is not used here. Set ${variable}.`)
  const filled = (task: TaskInput): TaskInput => withTaskConfig(task, config)
  if (request.issue !== undefined) {
    // An issue has its own title, so the placeholder is dropped again.
    const { title: _, ...defaults } = filled({ ...request.defaults, title: 'issue' })
    return { request: { ...request, defaults }, pool: config.pool }
  }
  return { request: eachTask(request, filled), pool: config.pool }
}

const eachTask = (request: CreateTasksInput, to: (task: TaskInput) => TaskInput): CreateTasksInput =>
  'tasks' in request && request.tasks !== undefined
    ? { ...request, tasks: request.tasks.map(to) }
    : ({ ...request, task: to((request as { task: TaskInput }).task) } as CreateTasksInput)

/**
 * Returns the request with its tasks in the group that provisions such runners, unless a task itself says where it
 * runs. Throws `not_found` if there is no such group.
 */
export function inGroup(
  request: CreateTasksInput,
  pool: TaskPool,
  groups: readonly RunnerGroup[],
  file: string,
): CreateTasksInput {
  const { provisioner, image, namespace } = pool
  const found = groups.find(
    ({ pool: made }) =>
      made?.provisioner === provisioner && made.image === image && made.namespace === namespace,
  )
  if (found === undefined)
    throw new ErrandError(
      'not_found',
      `No group of the hub provisions its runners by ${provisioner}${namespace === undefined ? '' : ` in the namespace ${namespace}`} from the image ${image}.`,
      {
        hint: `Start the hub with: errand up --config ${file}. Or add to its errand.yaml: groups: {${TASK_GROUP}: ${JSON.stringify(pool)}}`,
      },
    )
  const group = found.name
  const placed = <T extends Pick<TaskInput, 'group' | 'runner' | 'labels'>>(task: T): T =>
    [task.group, task.runner, task.labels].some((each) => each !== undefined) ? task : { ...task, group }
  return request.issue === undefined
    ? eachTask(request, placed)
    : { ...request, defaults: placed(request.defaults ?? {}) }
}

/** Returns warnings about credentials in this environment that the hub does not have; older runners read them here. */
export function notStored(
  request: CreateTasksInput,
  stored: ReadonlySet<string>,
  env: NodeJS.ProcessEnv = process.env,
): string[] {
  const tasks = 'tasks' in request && request.tasks !== undefined ? request.tasks : [request.task!]
  const names = new Set(
    tasks.flatMap(({ git_token_env_var = 'GIT_TOKEN', llm_api_key_env_var = 'OPENAI_API_KEY' }) => [
      git_token_env_var,
      llm_api_key_env_var,
    ]),
  )
  return [...names]
    .filter((name) => env[name] && !stored.has(name))
    .map(
      (name) =>
        `warning: ${name} of this environment is not used. Store it at the hub: errand secrets set ${name}`,
    )
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new UsageError(`${file} cannot be read: ${(cause as Error).message}`, 'name a configuration file')
  }
}
