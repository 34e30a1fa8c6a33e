import * as z from 'zod'
import { PlainName } from './plain-name.ts'

/** How a machine becomes a runner: an admin makes a token that is good once, and the machine exchanges it for its own. */

/** As runners are known by. */
export const RunnerId = PlainName

/** `POST /api/runners/enrollments` */
export const CreateEnrollment = z.strictObject({
  name: PlainName.default('enrolment').describe('Shown in the list of tokens'),
  group: PlainName.optional().describe('The one runner group that it may serve'),
  expires_in_seconds: z
    .number()
    .int()
    .min(1)
    .max(30 * 86_400)
    .default(3600),
})
export type CreateEnrollment = z.infer<typeof CreateEnrollment>
export type CreateEnrollmentInput = z.input<typeof CreateEnrollment>

export const EnrollmentCreated = z.object({
  id: z.string(),
  token: z.string().describe('Shown this once, good once'),
  group: z.string().optional(),
  expires_at: z.string(),
})
export type EnrollmentCreated = z.infer<typeof EnrollmentCreated>

/** `POST /api/runners/enroll` */
export const EnrollRunner = z.strictObject({
  token: z.string().min(1).max(500).describe('Of `POST /api/runners/enrollments`'),
  runner_id: RunnerId,
})
export type EnrollRunner = z.infer<typeof EnrollRunner>

export const RunnerEnrolled = z.object({
  runner_id: z.string(),
  token: z.string().describe('Opens the runner link for this runner alone. Shown this once'),
  tenant: z.string(),
  group: z.string().optional(),
})
export type RunnerEnrolled = z.infer<typeof RunnerEnrolled>
