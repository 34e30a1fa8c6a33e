import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { Task } from '../../contract/tasks/task.ts'
import type { RepositoryAddress } from '../../forge/address.ts'
import { type CallOptions, type Forge, type Issue, type IssueCursor, mayWrite } from '../../forge/forge.ts'
import { type IssueTaskDefaults, issueTaskName, readIssue, taskOfIssue } from './issue-task.ts'

/** A repository whose labelled issues become tasks. */
export interface IssueWatch {
  address: RepositoryAddress
  label: string
  defaults: IssueTaskDefaults
}

/** Tasks as the intake needs them: those of the owner of the watch. */
export interface IntakeTasks {
  /** Reports whether there is a task with this name, in any state. */
  has(name: { spec_name: string; task_id: string }): Promise<boolean>
  /** Stores the task durably. If its name is taken, the existing task stays and nothing is thrown. */
  create(task: Task): Promise<void>
}

/** Stores where each watch continues after a restart; `key` names the forge, repository and label. */
export interface WatchCursors {
  get(key: string): Promise<IssueCursor | undefined>
  /** Resolves when it is durable. */
  set(key: string, cursor: IssueCursor): Promise<void>
}

export interface IntakePorts {
  tasks: IntakeTasks
  cursors: WatchCursors
  /** Logs each issue that is taken, or skipped with the reason. */
  log(message: string): void
}

type IssueForge = Pick<Forge, 'issue' | 'comments' | 'labelling' | 'labelledIssues'>

export const watchKey = ({ address: { host, path }, label }: IssueWatch): string =>
  JSON.stringify([host, path.toLowerCase(), label])

/**
 * Looks once at the labelled issues of a repository, and makes a task of each that has none. The label counts if a
 * person with write access set it; the text is the one from that time. The cursor is stored after the tasks, so an
 * issue may arrive twice and becomes one task. Returns how many tasks were made. Throws if the forge does not answer;
 * nothing is skipped then.
 */
export async function takeIssues(
  forge: IssueForge,
  watch: IssueWatch,
  { tasks, cursors, log }: IntakePorts,
  options: CallOptions = {},
): Promise<number> {
  const key = watchKey(watch)
  const from = (await cursors.get(key)) ?? {}
  const { issues, cursor } = await forge.labelledIssues(watch.label, from, options)
  let made = 0
  for (const issue of issues) {
    const address = { ...watch.address, number: issue.number, kind: undefined }
    if (await tasks.has(issueTaskName(address))) continue
    const where = `Issue ${issue.number} of ${watch.address.path}`
    try {
      const task = await taskOfLabelled(forge, watch, issue, options)
      await tasks.create(task)
      made++
      log(`${where} became a task.`)
    } catch (error) {
      options.signal?.throwIfAborted()
      // A problem of this issue alone does not hold up the others. Its next change brings it here again.
      if (!(error instanceof ErrandError && ofTheIssue.has(error.code))) throw error
      log(`${where} is ignored: ${messageOf(error)}`)
    }
  }
  if (JSON.stringify(cursor) !== JSON.stringify(from)) await cursors.set(key, cursor)
  return made
}

const ofTheIssue: ReadonlySet<string> = new Set(['task_invalid', 'not_found', 'forbidden'])

async function taskOfLabelled(
  forge: IssueForge,
  { address, label, defaults }: IssueWatch,
  { number }: Issue,
  options: CallOptions,
): Promise<Task> {
  const labelling = await forge.labelling(number, label, options)
  if (labelling === undefined)
    throw new ErrandError('forbidden', `it is not known who added the label "${label}".`)
  const { by, right } = labelling
  if (by.isBot || !mayWrite(right))
    throw new ErrandError(
      'forbidden',
      `${by.login}, who added the label "${label}", ${by.isBot ? 'is not a person' : `has the right "${right}"`}.`,
    )
  const text = await readIssue(forge, { ...address, number, kind: undefined }, options)
  return taskOfIssue({ ...text, labelling }, defaults)
}
