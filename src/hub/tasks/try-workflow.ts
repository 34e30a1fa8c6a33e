import { taskRun } from '../../blueprints/task.ts'
import type { ConfiguredForge } from '../../config/config-file.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Playbook } from '../../contract/tasks/playbook.ts'
import type { Task } from '../../contract/tasks/task.ts'
import { type RepositoryAddress, repositoryAddress } from '../../forge/address.ts'
import type { Secrets } from '../secrets.ts'
import { repositoryOf } from './new-tasks.ts'
import { TOKEN_SECRETS } from './repository-tokens.ts'
import type { TaskRun } from './task-conductor.ts'

/** Secret that may hold the key of the model that the agent `builtin` uses. */
export const MODEL_KEY_SECRET = 'OPENAI_API_KEY'

export interface TryWorkflowOptions {
  secrets: Pick<Secrets, 'firstSeen' | 'refusal'>
  /** The configured forges, by host. */
  forges?: { forgeOf(host: string): ConfiguredForge | undefined }
  /** Gives the runner group for runs of a repository. */
  repositories: { groupOf(repository: string | undefined): string | undefined }
  /** Returns the hub's own playbooks, in their order. */
  playbooks?: () => readonly Playbook[]
}

/**
 * Returns the workflow of a task's try, with what the hub adds: the group of its repository, the secret with the
 * repository's token, and the secret with the model's key. Without a token its steps can read only public data;
 * without a key its agent uses what its runner has. Throws `task_invalid` if the task names a secret that does not
 * exist.
 */
export const tryWorkflow =
  ({ secrets, repositories, forges, playbooks }: TryWorkflowOptions): TaskRun =>
  async (task, { tenant, owner, ...ask }) => {
    const repository = repositoryName(task)
    const of = { tenant, owner, repository }
    /** Finds a secret for the field. A secret that goes to `server` must be allowed there. */
    const find = async (
      field: 'git_token_env_var' | 'llm_api_key_env_var',
      names: readonly string[],
      server?: string,
    ) => {
      const value = task[field]
      if (server !== undefined && value !== undefined) {
        const refusal = await secrets.refusal(of, [value], server)
        if (refusal !== undefined)
          throw new ErrandError('task_invalid', `${field}: ${refusal.message}`, { hint: refusal.hint })
      }
      const secret = await secrets.firstSeen(of, value === undefined ? names : [value], server)
      if (secret !== undefined) return { secret }
      // A usual name that is missing counts as not named at all.
      if (value === undefined || names.includes(value)) return undefined
      throw new ErrandError('task_invalid', `${field}: the hub has no secret ${value}.`, {
        hint: `Set it with: errand secrets set ${value}`,
      })
    }
    const address = addressOf(task)
    const configured = address && forges?.forgeOf(address.host)
    const forge = configured && { kind: configured.kind, api_url: configured.api_url }
    const token = configured?.app
      ? { app: { host: configured.host, repository: address!.path } }
      : // A forge's token has no substitute: without it the run is refused, and the refusal names it.
        configured?.token === undefined || task.git_token_env_var !== undefined
        ? await find('git_token_env_var', TOKEN_SECRETS, repositoryOf(task) ?? '')
        : { secret: configured.token }
    const model_key = await find('llm_api_key_env_var', [MODEL_KEY_SECRET])
    const made = taskRun(task, { ...ask, token, model_key, forge, playbooks: playbooks?.() })
    return { ...made, repository, group: repositories.groupOf(repository) }
  }

function addressOf(task: Task): RepositoryAddress | undefined {
  const url = repositoryOf(task)
  try {
    return url === undefined ? undefined : repositoryAddress(url)
  } catch {
    // It is not at a forge: it is a folder, or an address that the first step refuses with its own message.
    return undefined
  }
}

/**
 * Returns the name that settings and secrets of repositories use, such as `acme/web`. Undefined if there is only a
 * folder.
 */
export function repositoryName(task: Task): string | undefined {
  const url = repositoryOf(task)
  if (url === undefined) return undefined
  const scp = /^(?:[^@/]+@)?[^:/]+:(?!\/\/)(.+)$/.exec(url)
  const path =
    scp !== null && !url.includes('://') ? scp[1]! : URL.canParse(url) ? new URL(url).pathname : url
  const name = path.replace(/^\/+|\/+$/g, '').replace(/\.git$/, '')
  return name === '' || name.length > 500 ? undefined : name
}
