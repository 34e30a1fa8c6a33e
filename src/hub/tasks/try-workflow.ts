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

/** The secret that may hold the key of the model that the agent `builtin` asks. */
export const MODEL_KEY_SECRET = 'OPENAI_API_KEY'

export interface TryWorkflowOptions {
  secrets: Pick<Secrets, 'firstSeen' | 'refusal'>
  /** The configured forges, by host. */
  forges?: { forgeOf(host: string): ConfiguredForge | undefined }
  /** The runner group that runs for a repository go to. */
  repositories: { groupOf(repository: string | undefined): string | undefined }
  /** The hub's own playbooks, in their order. */
  playbooks?: () => readonly Playbook[]
}

/**
 * The workflow of a task's try, with what the hub knows of it: the group that its repository goes to, the secret with the token for
 * that, and the one with the key of its model. Without the first its steps ask for nothing but what all may see; without the second
 * its agent has what its runner has. Throws `task_invalid` where the task names a secret that is not there.
 */
export const tryWorkflow =
  ({ secrets, repositories, forges, playbooks }: TryWorkflowOptions): TaskRun =>
  async (task, { tenant, owner, ...ask }) => {
    const repository = repositoryName(task)
    const of = { tenant, owner, repository }
    /** `server`: the secret is sent there. */
    const find = async (
      field: 'git_token_env_var' | 'llm_api_key_env_var',
      names: readonly string[],
      server?: string,
    ) => {
      const asked = task[field]
      if (server !== undefined && asked !== undefined) {
        const refusal = await secrets.refusal(of, [asked], server)
        if (refusal !== undefined)
          throw new ErrandError('task_invalid', `${field}: ${refusal.message}`, { hint: refusal.hint })
      }
      const secret = await secrets.firstSeen(of, asked === undefined ? names : [asked], server)
      if (secret !== undefined) return { secret }
      // The names that are usual are looked for as if nothing had been said.
      if (asked === undefined || names.includes(asked)) return undefined
      throw new ErrandError('task_invalid', `${field}: the hub has no secret ${asked}.`, {
        hint: `Keep it there: errand secrets set ${asked}`,
      })
    }
    const address = addressOf(task)
    const said = address && forges?.forgeOf(address.host)
    const forge = said && { kind: said.kind, api_url: said.api_url }
    const token = said?.app
      ? { app: { host: said.host, repository: address!.path } }
      : // The token of a forge is no other's: where it is not there, the run is refused, with its name.
        said?.token === undefined || task.git_token_env_var !== undefined
        ? await find('git_token_env_var', TOKEN_SECRETS, repositoryOf(task) ?? '')
        : { secret: said.token }
    const model_key = await find('llm_api_key_env_var', [MODEL_KEY_SECRET])
    const made = taskRun(task, { ...ask, token, model_key, forge, playbooks: playbooks?.() })
    return { ...made, repository, group: repositories.groupOf(repository) }
  }

function addressOf(task: Task): RepositoryAddress | undefined {
  const url = repositoryOf(task)
  try {
    return url === undefined ? undefined : repositoryAddress(url)
  } catch {
    // It is no forge's: a folder, or what the first step refuses in its own words.
    return undefined
  }
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
