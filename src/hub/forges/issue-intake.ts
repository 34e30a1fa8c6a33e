import { ErrandError } from '../../contract/errors.ts'
import type { Task } from '../../contract/tasks/task.ts'
import { isPullAddress, issueAddress } from '../../forge/address.ts'
import type { CallOptions } from '../../forge/forge.ts'
import { type IssueTaskDefaults, issueTaskName, readIssue, taskOfIssue } from './issue-task.ts'
import type { ForgeOf, ForgeUser } from './open-forges.ts'

export interface IssueIntakeOptions {
  forgeOf: ForgeOf
  /** Returns the task with this name that this user sees, or undefined if there is none. */
  there(user: ForgeUser, name: { spec_name: string; task_id: string }): Promise<Task | undefined>
}

/** Makes the task that the issue at an address asks for. */
export type IssueIntake = (
  user: ForgeUser,
  url: string,
  defaults: IssueTaskDefaults,
  options?: CallOptions,
) => Promise<Task>

/**
 * Reads the issue at an address for a user. A task that was made from it before keeps its original text, so a repeat
 * returns the same task whatever was written since. Throws `bad_request` for an address that is no issue,
 * `task_invalid` for a closed issue, and as `Forge` does.
 */
export const issueIntake =
  ({ forgeOf, there }: IssueIntakeOptions): IssueIntake =>
  async (user, url, defaults, options = {}) => {
    const address = issueAddress(url)
    if (address === undefined)
      throw new ErrandError('bad_request', 'body.issue: is not the address of an issue.', {
        hint: isPullAddress(url)
          ? 'This is the address of a pull request. Name the issue that it is about.'
          : 'Write it as https://HOST/OWNER/NAME/issues/12.',
      })
    const forge = await forgeOf(address, user, options)
    const found = await readIssue(forge, address, options)
    const task = taskOfIssue(found, defaults)
    const before = await there(user, issueTaskName(address))
    if (before === undefined) {
      if (found.issue.state === 'closed')
        throw new ErrandError('task_invalid', `Issue ${address.number} of ${address.path} is closed.`, {
          hint: 'Reopen it at the forge, and try again.',
        })
      return task
    }
    const { title, description, acceptance_criteria, metadata } = before
    return { ...task, title, description, acceptance_criteria, metadata }
  }
