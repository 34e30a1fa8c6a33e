import type { UserRole } from '../../contract/account-api.ts'
import type { Approvers } from '../../contract/approvers.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { ShareCan } from '../../contract/runs/shares.ts'
import type { Workflow } from '../../contract/workflow.ts'

/** A user of the run's tenant. */
export interface Person {
  name: string
  role: UserRole
}

/** Reports whether the person may answer an approval of a run of this owner. */
export function mayAnswer(approvers: Approvers | undefined, person: Person, owner: string): boolean {
  const { users, roles, requester = true } = approvers ?? {}
  if (!requester && person.name === owner) return false
  if (users === undefined && roles === undefined) return person.role === 'admin' || person.name === owner
  return users?.includes(person.name) === true || roles?.includes(person.role) === true
}

/** Says who may answer, such as `bob, any admin, not ann (the owner of the run)`. */
export function whoMay({ users, roles, requester = true }: Approvers, owner: string): string {
  const named = [...(users ?? []), ...(roles ?? []).map((role) => `any ${role}`)]
  if (named.length === 0) named.push('any admin')
  return [...named, ...(requester ? [] : [`not ${owner} (the owner of the run)`])].join(', ')
}

/** Throws `forbidden` with the names of those who may. */
export function needApprover(
  approvers: Approvers | undefined,
  person: Person,
  { run_id, owner }: Pick<RunRecord, 'run_id' | 'owner'>,
): void {
  if (mayAnswer(approvers, person, owner)) return
  const may = whoMay(approvers ?? {}, owner)
  throw new ErrandError('forbidden', `"${person.name}" may not answer this approval of run ${run_id}.`, {
    hint: `Allowed: ${may}. Send one of them a link to the run.`,
    details: { approvers: approvers ?? {}, owner },
  })
}

/**
 * Returns everybody whom the workflow of a run names as able to answer. They may see the run, because they have to
 * judge it.
 */
function approversOf({ workflow }: Pick<RunRecord, 'workflow'>): readonly Approvers[] {
  const { steps = [], finally: last = [] } = (workflow ?? {}) as Partial<Workflow>
  return [...steps, ...last].flatMap(({ action, args }) =>
    action === 'approval.wait' && args?.approvers !== undefined ? [args.approvers as Approvers] : [],
  )
}

/** Returns the most that the run is shared for with the person, by name or role; undefined if it is not shared. */
export function shareOf(
  { shares = [] }: Pick<RunRecord, 'shares'>,
  { name, role }: Person,
): ShareCan | undefined {
  const mine = shares.filter((share) => share.user === name || share.role === role)
  return mine.find(({ can }) => can === 'take-part')?.can ?? mine[0]?.can
}

/** Reports whether a step of the run names the person, or a role of theirs, as able to answer. */
export const isApprover = (run: Pick<RunRecord, 'workflow' | 'owner'>, person: Person): boolean =>
  approversOf(run).some(
    (approvers) =>
      (approvers.users !== undefined || approvers.roles !== undefined) &&
      mayAnswer(approvers, person, run.owner),
  )
