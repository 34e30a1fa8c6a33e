import * as z from 'zod'

/** The supported forges: GitHub with its Enterprise Server, Gitea with Forgejo, and GitLab. */
export const ForgeKind = z.enum(['github', 'gitea', 'gitlab'])
export type ForgeKind = z.infer<typeof ForgeKind>

/** A configured forge, so that its host need not be asked for its kind. */
export const ForgeHost = z.strictObject({
  host: z
    .string()
    .toLowerCase()
    .regex(
      /^[a-z0-9.-]+(:\d{1,5})?$|^\[[0-9a-f:]+\](:\d{1,5})?$/,
      'must be a host such as git.example.org or 10.0.0.1:3000',
    )
    .describe('With its port, if it is not the usual one'),
  kind: ForgeKind,
  api_url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('URL of its API; default: the usual path on the host'),
})
export type ForgeHost = z.infer<typeof ForgeHost>
