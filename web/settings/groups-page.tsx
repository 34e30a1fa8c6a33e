import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import type { RunnerGroup } from '../../src/contract/fleet/runner-groups.ts'
import { ApiError } from '../data/api.ts'
import {
  deleteGroup,
  groupsQuery,
  keepRunnersLive,
  makeGroup,
  renameGroup,
  runnersQuery,
} from '../data/runners.ts'
import { meQuery } from '../data/session.ts'
import { Link } from '../navigation/navigation.tsx'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { RowMenu } from '../parts/row-menu.tsx'
import { When } from '../parts/times.tsx'
import { PoolFacts, PoolMenu } from './provisioned-pool.tsx'
import { Labelled, Part, SettingsFrame } from './settings-frame.tsx'

type GroupAction = { group: RunnerGroup; what: 'rename' | 'delete' }

/** Lists groups of runners, with what belongs to each and what still uses one before it is deleted. */
export function GroupsPage() {
  const client = useQueryClient()
  const { data: me } = useQuery(meQuery)
  const { data: groups, error } = useQuery(groupsQuery)
  const { data: runners } = useQuery(runnersQuery)
  const [requested, setRequested] = useState<GroupAction>()
  const isAdmin = me?.role === 'admin'
  const isOperator = isAdmin && me.tenant === 'default'
  useEffect(() => keepRunnersLive(client), [client])
  const again = () => client.invalidateQueries({ queryKey: groupsQuery.queryKey })
  return (
    <SettingsFrame title="Groups">
      {isAdmin && (
        <Part
          title="New group"
          about="Runners in a group can replace each other. A host in a workflow's inventory names its group. A runner enrolled for a group serves only that group."
        >
          <Make again={again} />
        </Part>
      )}
      {error instanceof ApiError && (
        <div className="m-5">
          <Failure error={error} />
        </div>
      )}
      {(groups ?? []).map((group) => {
        const here = (runners ?? []).filter((one) => one.group === group.name)
        return (
          <Part
            key={group.name}
            title={group.name}
            aside={
              isOperator && group.pool !== undefined ? (
                <PoolMenu pool={group.pool} again={again} />
              ) : isAdmin && group.made ? (
                <RowMenu
                  label={`More for ${group.name}`}
                  actions={[
                    { word: 'Rename…', act: () => setRequested({ group, what: 'rename' }) },
                    { word: 'Delete…', bad: true, act: () => setRequested({ group, what: 'delete' }) },
                  ]}
                />
              ) : null
            }
          >
            <dl className="grid grid-cols-[7rem_minmax(0,1fr)] gap-x-3 gap-y-1.5 text-meta">
              <Fact word="Runners">
                {group.runners.length === 0 ? (
                  <span className="text-ink2">none</span>
                ) : (
                  <span className="flex flex-wrap gap-x-3 gap-y-1">
                    {group.runners.map((id) => (
                      <Link
                        key={id}
                        to="/settings/runners"
                        search={{ runner: id }}
                        className="hover:underline max-sm:min-h-11"
                      >
                        <bdi>{id}</bdi>
                        {here.find((one) => one.id === id)?.status === 'disconnected' && (
                          <span className="text-gone"> disconnected</span>
                        )}
                      </Link>
                    ))}
                  </span>
                )}
              </Fact>
              <Fact word="Slots">
                {group.running} of {group.slots} in use
                {group.waiting > 0 && (
                  <span className="text-ask">
                    , {group.waiting} {group.waiting === 1 ? 'run waiting' : 'runs waiting'}
                  </span>
                )}
              </Fact>
              {group.pool !== undefined && (
                <Fact word="Provisioner">
                  <PoolFacts pool={group.pool} />
                </Fact>
              )}
              {(group.isolation !== undefined || group.network !== undefined) && (
                <Fact word="Box rules">
                  {[group.isolation, group.network === undefined ? undefined : `network ${group.network}`]
                    .filter((each) => each !== undefined)
                    .join(', ')}{' '}
                  (set in <code className="font-mono">errand.yaml</code>)
                </Fact>
              )}
              {group.repositories.length > 0 && (
                <Fact word="Repositories">
                  <bdi>{group.repositories.join(', ')}</bdi>
                  <span className="text-ink2">
                    {' '}
                    (set in <code className="font-mono">errand.yaml</code>)
                  </span>
                </Fact>
              )}
              {group.tokens.length > 0 && (
                <Fact word="Tokens">
                  {group.tokens.length} only for this group,{' '}
                  <Link to="/settings/tokens" className="text-accent underline">
                    view tokens
                  </Link>
                </Fact>
              )}
              {group.created_at !== undefined && (
                <Fact word="Created">
                  by <bdi>{group.created_by}</bdi>, <When time={group.created_at} />
                </Fact>
              )}
            </dl>
          </Part>
        )
      })}
      {requested?.what === 'delete' && (
        <Confirm
          title={`Delete ${requested.group.name}?`}
          keep="Keep it"
          verb="Delete group"
          doing="Deleting…"
          act={async () => {
            await deleteGroup(requested.group.name)
            void again()
          }}
          close={() => setRequested(undefined)}
        >
          {usesOf(requested.group) === undefined
            ? 'No runner, token or repository uses it. Steps that request it will wait.'
            : `It is in use: ${usesOf(requested.group)}. You can delete it once nothing uses it.`}
        </Confirm>
      )}
      {requested?.what === 'rename' && (
        <Rename group={requested.group} again={again} close={() => setRequested(undefined)} />
      )}
    </SettingsFrame>
  )
}

function usesOf({ runners, tokens, repositories, waiting, isolation }: RunnerGroup): string | undefined {
  const uses = [
    [runners.length, 'runner', 'runners'],
    [tokens.length, 'token', 'tokens'],
    [repositories.length, 'repository', 'repositories'],
    [waiting, 'waiting run', 'waiting runs'],
    [isolation === undefined ? 0 : 1, 'box rule in errand.yaml', ''],
  ] as const
  const texts = uses.filter(([figure]) => figure > 0)
  if (texts.length === 0) return undefined
  return texts.map(([figure, one, many]) => `${figure} ${figure === 1 ? one : many}`).join(', ')
}

function Fact({ word, children }: { word: string; children: ReactNode }) {
  return (
    <div className="contents">
      <dt className="text-ink2">{word}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </div>
  )
}

function Make({ again }: { again: () => Promise<void> }) {
  const [name, setName] = useState('')
  const [failure, setFailure] = useState<ApiError>()
  return (
    <form className="flex flex-col gap-3" onSubmit={(event) => event.preventDefault()}>
      <div className="flex flex-wrap items-end gap-3">
        <Labelled word="Name">
          <input
            className="field"
            autoComplete="off"
            value={name}
            onChange={({ target }) => setName(target.value)}
          />
        </Labelled>
        <ActionButton
          className="max-sm:w-full"
          doing="Creating…"
          onFailure={setFailure}
          act={async (key) => {
            setFailure(undefined)
            await makeGroup(name.trim(), key)
            setName('')
            await again()
          }}
        >
          Create group
        </ActionButton>
      </div>
      {failure !== undefined && <Failure error={failure} />}
    </form>
  )
}

function Rename({
  group,
  again,
  close,
}: {
  group: RunnerGroup
  again: () => Promise<void>
  close: () => void
}) {
  const [name, setName] = useState(group.name)
  return (
    <Confirm
      title={`Rename ${group.name}?`}
      keep="Cancel"
      verb="Rename group"
      doing="Renaming…"
      destructive={false}
      act={async () => {
        await renameGroup(group.name, name.trim())
        void again()
      }}
      close={close}
    >
      <p className="mb-3">
        Runners name their group themselves, so you can rename only a group that nothing uses.
        {usesOf(group) === undefined ? '' : ` This one is in use: ${usesOf(group)}.`}
      </p>
      <Labelled word="New name">
        <input
          className="field"
          autoComplete="off"
          value={name}
          onChange={({ target }) => setName(target.value)}
        />
      </Labelled>
    </Confirm>
  )
}
