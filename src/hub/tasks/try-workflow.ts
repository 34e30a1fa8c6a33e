import { taskRun } from '../../blueprints/task.ts'
import type { Task } from '../../contract/tasks/task.ts'
import { repositoryOf } from './new-tasks.ts'
import type { TaskRun } from './task-conductor.ts'

/** Names of secrets that may hold the token of a task's repository, in the order in which they are looked up. */
export const TOKEN_SECRETS = ['GIT_TOKEN', 'GITHUB_TOKEN'] as const

export interface TryWorkflowOptions {
  secrets: {
    /** The first of these names that such a run would be given a value of. */
    firstSeen(
      of: { tenant: string; owner: string; repository?: string },
      names: readonly string[],
    ): Promise<string | undefined>
  }
  /** The runner group that runs for a repository go to. */
  repositories: { groupOf(repository: string | undefined): string | undefined }
}

/**
 * The workflow of a task's try, with what the hub knows of its repository: the group that it goes to, and the secret that holds its
 * token. Without one among the hub's secrets the steps ask with what their runner has.
 */
export const tryWorkflow =
  ({ secrets, repositories }: TryWorkflowOptions): TaskRun =>
  async (task, { tenant, owner, ...ask }) => {
    const repository = repositoryName(task)
    const secret = await secrets.firstSeen({ tenant, owner, repository }, TOKEN_SECRETS)
    const made = taskRun(task, { ...ask, token: secret === undefined ? undefined : { secret } })
    return { ...made, repository, group: repositories.groupOf(repository) }
  }

/** As settings and secrets of repositories name it, such as `acme/web`. Undefined where only a folder is given. */
export function repositoryName(task: Task): string | undefined {
  const url = repositoryOf(task)
  if (url === undefined) return undefined
  const scp = /^(?:[^@/]+@)?[^:/]+:(?!\/\/)(.+)$/.exec(url)
  const path =
    scp !== null && !url.includes('://') ? scp[1]! : URL.canParse(url) ? new URL(url).pathname : url
  const name = path.replace(/^\/+|\/+$/g, '').replace(/\.git$/, '')
  return name === '' || name.length > 500 ? undefined : name
}
