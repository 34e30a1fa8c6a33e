import * as z from 'zod/mini'
import { described } from '../mini-zod.ts'

/** The kinds of things that a run stores alongside its log. */
export const ArtifactKind = z.enum([
  'diff', // the whole change against its base
  'patch', // one commit
  'pack', // the objects of a change: a checkpoint
  'log',
  'transcript',
  'test', // results of tests
  'plan',
  'findings', // a reviewer's
  'files', // the list of changed files, as JSON
  'file',
])
export type ArtifactKind = z.infer<typeof ArtifactKind>

/** The name of an artifact: a path below the run, unique there. */
export const ArtifactName = z.string().check(
  z.maxLength(1000),
  z.refine(
    (name) =>
      name !== '' &&
      !/[\p{Cc}\\]/u.test(name) &&
      name.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
    'an artifact name is a relative file path without "." and ".."',
  ),
)

/** A thing that a run stores, as its log reports it: the bytes are durable by then. */
export const Artifact = z.object({
  /** Unique in the run: the attempt's number, a dot, and the number of the artifact, from 1. */
  artifact_id: z.string(),
  kind: ArtifactKind,
  name: ArtifactName,
  bytes: z.int().check(z.minimum(0)),
  /** The SHA-256 in hex. */
  sha256: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  /** Type of the content, such as `text/x-diff`. */
  media_type: z.string(),
})
export type Artifact = z.infer<typeof Artifact>

/** Globs below the workspace of files that a step stores when it has ended, whatever its outcome. */
export const ArtifactGlobs = described(
  z.array(z.string().check(z.minLength(1), z.maxLength(1000))).check(z.maxLength(100)),
  'Files in the workspace to store as artifacts when the step ends, as globs',
)

/** Default limits of a hub: largest artifact, most bytes and most artifacts of a run. */
export const MAX_ARTIFACT_BYTES = 100 * 1024 ** 2
export const MAX_RUN_ARTIFACT_BYTES = 1024 ** 3
export const MAX_RUN_ARTIFACTS = 1000

/** A file that a step takes from those that an earlier step stored. */
export const NeededFile = z.strictObject({
  step: described(z.string().check(z.minLength(1)), 'The earlier step that has stored it'),
  name: described(z.optional(ArtifactName), 'Name of the artifact'),
  glob: described(
    z.optional(z.string().check(z.minLength(1), z.maxLength(1000))),
    'All artifacts whose names match',
  ),
  to: described(
    z.optional(z.string().check(z.minLength(1), z.maxLength(1000))),
    'Path of the file in the workspace, or with glob of a folder; default: where it was stored from',
  ),
})
export type NeededFile = z.infer<typeof NeededFile>
