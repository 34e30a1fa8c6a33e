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
      'is no host, such as git.example.org or 10.0.0.1:3000',
    )
    .describe('with its port, where that is not the usual one'),
  kind: ForgeKind,
  api_url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('of its API; default the usual place at the host'),
})
export type ForgeHost = z.infer<typeof ForgeHost>
