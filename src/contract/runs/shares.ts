import * as z from 'zod'
import { UserName } from '../account-api.ts'

/** The people with whom a run is shared: a user of its tenant, or all who have a role there. */
const shareWith = {
  user: z.optional(UserName).describe('A user of the tenant'),
  role: z.enum(['admin', 'user']).optional().describe('Instead of `user`: all users with this role'),
}
const isOne = ({ user, role }: { user?: string; role?: string }) =>
  (user === undefined) !== (role === undefined)
const oneOf = 'give exactly one of "user" and "role"'

export const ShareCan = z.enum(['watch', 'take-part'])
export type ShareCan = z.infer<typeof ShareCan>

/** Fields of the events `run.shared` and `run.unshared`; `by`: the person who did it. */
export const SharedFields = { ...shareWith, by: z.string() }

/** A user or role with whom a run is shared. */
export const Share = z.object({
  ...shareWith,
  can: ShareCan.describe('`watch`: see everything; `take-part`: also send prompts and answers'),
  by: z.string().describe('Who shared it'),
  at: z.string().describe('RFC 3339, UTC'),
})
export type Share = z.infer<typeof Share>

export const ShareList = z.object({
  run_id: z.string(),
  owner: z.string(),
  shares: z.array(Share),
})
export type ShareList = z.infer<typeof ShareList>

export const ShareRun = z.strictObject({ ...shareWith, can: ShareCan.default('watch') }).refine(isOne, oneOf)
export type ShareRun = z.infer<typeof ShareRun>
export type ShareRunInput = z.input<typeof ShareRun>

export const UnshareRun = z.strictObject(shareWith).refine(isOne, oneOf)
export type UnshareRun = z.infer<typeof UnshareRun>
