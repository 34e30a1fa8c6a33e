import * as z from './mini-zod.ts'
import { described } from './mini-zod.ts'

/**
 * The people who may answer an approval, according to a workflow file. A missing key allows nobody and excludes nobody.
 */
export const Approvers = z.strictObject({
  users: described(
    z.optional(
      z
        .array(z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, 'is not a valid user name')))
        .check(z.minLength(1), z.maxLength(100)),
    ),
    'Names of users of the hub',
  ),
  roles: described(
    z.optional(z.array(z.enum(['admin', 'user'])).check(z.minLength(1), z.maxLength(2))),
    'Roles whose users may answer',
  ),
  requester: described(
    z.optional(z.boolean()),
    'false: the owner of the run may not answer, whatever the other two fields say (default: true)',
  ),
})
export type Approvers = z.infer<typeof Approvers>

/** The last answer to an approval. */
export interface RecordedAnswer {
  decision: 'approve' | 'reject'
  by?: string
  /** RFC 3339, UTC. */
  at: string
  comment?: string
}
