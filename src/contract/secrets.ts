import * as z from 'zod'
import { VarName } from './names.ts'
import { plainName } from './plain-name.ts'

/** Requests and answers for secrets that a hub stores. No answer contains a value. */

/** The runs that get a secret: every run of the tenant, those for a repository, or those of a workflow. */
export const SecretScope = z.enum(['tenant', 'repository', 'workflow'])
export type SecretScope = z.infer<typeof SecretScope>

const scopeName = plainName(500)
const address = {
  repository: scopeName.optional().describe('Only for runs of this repository'),
  workflow: scopeName.optional().describe('Only for runs of the workflow with this name'),
}
const oneScope = (of: { repository?: string; workflow?: string }) =>
  of.repository === undefined || of.workflow === undefined
const ONE_SCOPE = 'a secret can be for a repository or for a workflow, not for both'

/** Selects one of the secrets with the same name. Without a scope: the tenant's. */
export const SecretAddress = z
  .strictObject({
    ...address,
    owner: z
      .string()
      .optional()
      .describe("Another user's own secret, for admins; default: the secret that `PUT` would change"),
  })
  .refine(oneScope, ONE_SCOPE)
export type SecretAddress = z.infer<typeof SecretAddress>

/** `secretFault` checks the value, because a schema's error would quote the value of the body. */
const value = z.unknown().meta({ type: 'string', description: 'At most 64 KiB of UTF-8, without NUL' })

/** A server as the addresses of repositories name it: in lower case, without a default port. */
export const TokenHost = z
  .string()
  .max(260)
  .transform((text) => (/^[^\s/?#@\\*]+$/.test(text) ? URL.parse(`https://${text}/`)?.host : undefined) ?? '')
  .refine((host) => host !== '', 'a server is written as HOST or HOST:PORT, such as github.com')
  .meta({ type: 'string', description: '`HOST` or `HOST:PORT`' })
const hosts = z
  .array(TokenHost)
  .max(50)
  .transform((all) => [...new Set(all)])
  .optional()
  .describe(
    'Servers that the secret may be sent to as a repository token; `GIT_TOKEN` is sent to no others. Absent: unchanged',
  )
export const PutSecret = z
  .strictObject({ value: value.optional(), hosts, ...address })
  .refine(oneScope, ONE_SCOPE)
  .refine((body) => body.value !== undefined || body.hosts !== undefined, {
    path: ['value'],
    message: 'the value is missing',
  })
export type PutSecret = Omit<SecretAddress, 'owner'> & { value?: string; hosts?: string[] }

export const ListSecrets = z.strictObject({
  name: z.string().optional(),
  scope: SecretScope.optional(),
  repository: z.string().optional(),
  workflow: z.string().optional(),
  owner: z.string().optional(),
})
export type ListSecrets = z.infer<typeof ListSecrets>

export const SecretName = z.object({ name: VarName })

export const SecretView = z.object({
  name: z.string(),
  scope: SecretScope,
  repository: z.string().optional(),
  workflow: z.string().optional(),
  owner: z.string().optional().describe('Set if only runs of this user get the secret'),
  hosts: z
    .array(z.string())
    .optional()
    .describe('Servers that it may be sent to as a token; absent if it is not bound to any'),
  created_at: z.string(),
  created_by: z.string(),
  updated_at: z.string(),
  updated_by: z.string(),
})
export type SecretView = z.infer<typeof SecretView>
export const SecretList = z.object({ secrets: z.array(SecretView) })
export type SecretList = z.infer<typeof SecretList>
export const StoredSecret = SecretView.extend({ warnings: z.array(z.string()) })
export type StoredSecret = z.infer<typeof StoredSecret>

/** The secrets that an attempt was given, by variable; omits those that belong to its run alone, or are only masked. */
export const TakenSecrets = z.record(
  z.string(),
  SecretView.pick({
    name: true,
    scope: true,
    repository: true,
    workflow: true,
    owner: true,
    updated_by: true,
  }),
)
export type TakenSecrets = z.infer<typeof TakenSecrets>
