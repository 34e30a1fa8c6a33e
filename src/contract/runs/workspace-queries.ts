import * as z from 'zod'

/**
 * A hub's questions to a runner about the folder that a session works in, and the answers of `/api/runs/:id/workspace`.
 */

export const WorkspaceQuery = z.discriminatedUnion('what', [
  z.object({ what: z.literal('list_folder'), attempt_id: z.string(), path: z.string() }),
  z.object({ what: z.literal('read_file'), attempt_id: z.string(), path: z.string() }),
  z.object({ what: z.literal('tell_change'), attempt_id: z.string() }),
  /** The diff comes as the body of `PUT /api/runner-answers/<ask id>`. */
  z.object({ what: z.literal('read_change'), attempt_id: z.string(), commit: z.number().int().optional() }),
])
export type WorkspaceQuery = z.infer<typeof WorkspaceQuery>

export const WorkspaceFolder = z.object({
  path: z.string().describe("Relative to the session's folder; empty: that folder itself"),
  entries: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(['folder', 'file', 'link', 'other']),
      bytes: z.number().int().optional().describe('Size of a file'),
    }),
  ),
  more: z.boolean().describe('Whether there are more entries than listed'),
})
export type WorkspaceFolder = z.infer<typeof WorkspaceFolder>

export const WorkspaceFile = z.object({
  path: z.string(),
  bytes: z.number().int(),
  binary: z.boolean(),
  text: z.string().optional().describe('Absent if the file is binary; secrets are hidden'),
  cut: z.boolean().describe('Whether `text` is only the start of the file'),
})
export type WorkspaceFile = z.infer<typeof WorkspaceFile>

export const WorkspaceChange = z.object({
  folder: z.string().describe('The folder that the session works in, on its runner'),
  repository: z
    .boolean()
    .describe('Whether the folder is in a Git repository; otherwise nothing can be compared'),
  base: z.string().optional().describe('The commit at which the session began'),
  commits: z
    .array(z.object({ sha: z.string(), subject: z.string(), author: z.string(), at: z.string() }))
    .describe('Commits since then, oldest first; at most 50'),
})
export type WorkspaceChange = z.infer<typeof WorkspaceChange>

/** The part of a runner's answer that concerns a workspace. */
export const WorkspaceQueryAnswer = {
  folder: z.optional(WorkspaceFolder),
  file: z.optional(WorkspaceFile),
  change: z.optional(WorkspaceChange),
}

/** Most bytes of a file that are shown. */
export const MOST_SHOWN_BYTES = 512 * 1024
/** Most bytes of a change that are read from a runner. */
export const MOST_CHANGE_BYTES = 16 * 1024 * 1024

export const FolderQuery = z.strictObject({
  path: z.string().max(4096).default('').describe("Relative to the session's folder"),
})
export const FileQuery = z.strictObject({ path: z.string().min(1).max(4096) })
export const ChangeQuery = z.strictObject({
  commit: z.coerce.number().int().min(1).optional().describe('Only this commit, by its number from 1'),
})
