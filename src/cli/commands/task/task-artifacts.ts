import { join } from 'node:path'
import { ErrandError } from '../../../contract/errors.ts'
import { ArtifactName } from '../../../contract/tasks/artifact.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { bytesText } from '../../render/table.ts'
import { fetchArtifact } from '../run/runs-artifacts.ts'
import { commitNumber, printDiff } from '../run/runs-diff.ts'

export const taskDiff = command({
  summary: 'Show the change that a task made.',
  args: '<id>',
  options: {
    commit: { type: 'string', value: 'N', help: 'Only this commit, counted from 1, as a patch' },
    stat: { type: 'boolean', help: 'Only the files, with their added and removed lines' },
    ...hubOptions,
  },
  examples: ['errand task diff task_0123', 'errand task diff task_0123 --stat'],
  async run({ commit, stat, ...hub }, [id]) {
    const number = commitNumber(commit)
    await printDiff(await connect(hub).tasks.diff(id!, { commit: number }), stat)
    return 0
  },
})

export const taskArtifacts = command({
  summary: 'List the artifacts of the tries of a task, or fetch them.',
  args: '<id> [name]',
  options: {
    output: { type: 'string', short: 'o', value: 'FILE', help: 'Write the named artifact to this file' },
    all: { type: 'string', value: 'DIR', help: 'Write all artifacts to this folder, each under its name' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand task artifacts task_0123', 'errand task artifacts task_0123 change.diff -o change.diff'],
  async run({ output, all, json, ...hub }, [id, name]) {
    if (all !== undefined && (name !== undefined || output !== undefined))
      throw new UsageError('--all fetches every artifact', 'leave out the name and -o')
    if (output !== undefined && name === undefined)
      throw new UsageError('-o is for one artifact', `name it: errand task artifacts ${id} NAME -o ${output}`)
    const client = connect(hub)
    const list = await client.tasks.artifacts(id!)
    const { artifacts } = list
    if (name !== undefined) {
      const found = artifacts.findLast(({ artifact }) => artifact.name === name)
      if (found === undefined)
        throw new ErrandError('not_found', `Task "${id}" has no artifact "${name}".`, {
          hint: `List its artifacts with: errand task artifacts ${id}`,
        })
      await fetchArtifact(client.runs, found.run_id, found.artifact, output)
    } else if (all !== undefined) {
      // Of several artifacts with the same name, the last counts.
      const last = new Map(artifacts.map((each) => [each.artifact.name, each]))
      for (const { run_id, artifact } of last.values())
        await fetchArtifact(
          client.runs,
          run_id,
          artifact,
          join(all, ArtifactName.parse(artifact.name)),
          !json,
        )
    }
    if (json) printJson(list)
    else if (name === undefined && all === undefined)
      printTable(
        ['RUN', 'ID', 'KIND', 'NAME', 'SIZE', 'SHA-256'],
        [
          ...artifacts.map(({ run_id, artifact: { artifact_id, kind, name, bytes, sha256 } }) => [
            ...[run_id, artifact_id, kind, name, bytesText(bytes), sha256.slice(0, 12)],
          ]),
          ...list.external.map(({ kind, uri, size_bytes = 0 }) => ['', '', kind, uri, bytesText(size_bytes)]),
        ],
        'The task has no artifacts.',
      )
    return 0
  },
})
