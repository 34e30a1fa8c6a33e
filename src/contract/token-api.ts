import * as z from 'zod'
import { time } from './account-api.ts'
import { PlainName } from './plain-name.ts'

/** Requests and answers of `/api/tokens`. */

export const TokenScope = z.enum(['api', 'runner', 'enroll', 'metrics'])
/** How long an API token is good where nothing else is said. */
export const API_TOKEN_SECONDS = 90 * 86_400

export const CreateToken = z.strictObject({
  name: PlainName,
  scope: TokenScope.exclude(['enroll'])
    .default('api')
    .describe(
      '`api`: acts as its user. `runner`: opens the runner link, nothing else. `metrics`: reads `/metrics`, nothing else',
    ),
  expires_in_seconds: z
    .number()
    .int()
    .min(1)
    .max(315_360_000)
    .nullish()
    .describe('`null`: it does not expire. Default: 90 days for the scope `api`, `null` for the others'),
  group: PlainName.optional().describe('The one runner group a `runner` token may serve'),
})
export type CreateTokenInput = z.input<typeof CreateToken>
export const TokenStatus = z.enum(['good', 'used', 'expired', 'revoked'])
export type TokenStatus = z.infer<typeof TokenStatus>
export const ListTokens = z.strictObject({
  name: z.string().optional(),
  scope: TokenScope.optional(),
  status: TokenStatus.optional(),
  user: z.string().optional().describe('Name of the user they act as'),
})
export type ListTokens = z.infer<typeof ListTokens>
export const TokenView = z.object({
  id: z.string(),
  name: z.string(),
  scope: TokenScope,
  status: TokenStatus.describe('`used`: an `enroll` token that was exchanged'),
  user: z.string().describe("Name of the user it acts as; of a runner's own token, who enrolled it"),
  group: z.string().optional(),
  runner_id: z.string().optional().describe('The one runner it is for, or that it enrolled'),
  created_at: time,
  last_used_at: time.optional(),
  used_at: time.optional().describe('When an `enroll` token was exchanged'),
  expires_at: time.optional(),
  revoked_at: time.optional(),
})
export type TokenView = z.infer<typeof TokenView>
export const TokenList = z.object({ tokens: z.array(TokenView), next_cursor: z.string().optional() })
export type TokenList = z.infer<typeof TokenList>
export const TokenCreated = TokenView.extend({ token: z.string().describe('Shown this once') })
export type TokenCreated = z.infer<typeof TokenCreated>
