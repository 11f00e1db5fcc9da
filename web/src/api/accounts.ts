/** What the page asks and does about users, sessions, keys, networks and the audit. */

import { queryOptions } from '@tanstack/svelte-query'
import { api, ask, type Shapes } from './client'
import type { ListQuery } from './queries'

export const users = (query: ListQuery) =>
  queryOptions({
    queryKey: ['users', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/users', { params: { query }, signal })),
  })

export const user = (id: string) =>
  queryOptions({
    queryKey: ['user', { id }] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/users/{user_id}', { params: { path: { user_id: id } }, signal })),
  })

export const sessions = (query: ListQuery & { user_id: string }) =>
  queryOptions({
    queryKey: ['sessions', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/sessions', { params: { query }, signal })),
  })

export interface KeyFilter {
  user_id?: string
  agent_id?: string
  kind?: Shapes['Key']['kind']
}

export const keys = (query: ListQuery & KeyFilter) =>
  queryOptions({
    queryKey: ['keys', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/keys', { params: { query }, signal })),
  })

export const networkList = (query: ListQuery) =>
  queryOptions({
    queryKey: ['network-list', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/networks', { params: { query }, signal })),
  })

export const audit = (query: ListQuery & { user_id?: string }) =>
  queryOptions({
    queryKey: ['audit', query] as const,
    queryFn: ({ signal }) => ask(api.GET('/api/v1/audit', { params: { query }, signal })),
  })

export const inviteUser = (body: { name: string; role: Shapes['User']['role'] }): Promise<Shapes['InvitedUser']> =>
  ask(api.POST('/api/v1/users', { body }))

export const inviteAgain = (id: string): Promise<Shapes['InvitedUser']> =>
  ask(api.POST('/api/v1/users/{user_id}/invitation', { params: { path: { user_id: id } } }))

export const changeUser = (id: string, body: Shapes['UserChange']): Promise<Shapes['User']> =>
  ask(api.PATCH('/api/v1/users/{user_id}', { params: { path: { user_id: id } }, body }))

export const deleteUser = (id: string) => ask(api.DELETE('/api/v1/users/{user_id}', { params: { path: { user_id: id } } }))

export const changePassword = (body: Shapes['PasswordChange']) => ask(api.POST('/api/v1/session/password', { body }))

export const endSession = (id: string) =>
  ask(api.DELETE('/api/v1/sessions/{session_id}', { params: { path: { session_id: id } } }))

export const makeKey = (body: Shapes['KeyDraft']): Promise<Shapes['NewKey']> => ask(api.POST('/api/v1/keys', { body }))

export const rotateKey = (id: string, grace_s: number): Promise<Shapes['NewKey']> =>
  ask(api.POST('/api/v1/keys/{key_id}/rotate', { params: { path: { key_id: id } }, body: { grace_s } }))

export const revokeKey = (id: string): Promise<Shapes['Key']> =>
  ask(api.POST('/api/v1/keys/{key_id}/revoke', { params: { path: { key_id: id } } }))

export const deleteKey = (id: string) => ask(api.DELETE('/api/v1/keys/{key_id}', { params: { path: { key_id: id } } }))

export const addNetwork = (name: string): Promise<Shapes['Network']> => ask(api.POST('/api/v1/networks', { body: { name } }))

export const renameNetwork = (id: string, name: string): Promise<Shapes['Network']> =>
  ask(api.PATCH('/api/v1/networks/{network_id}', { params: { path: { network_id: id } }, body: { name } }))

export const deleteNetwork = (id: string) =>
  ask(api.DELETE('/api/v1/networks/{network_id}', { params: { path: { network_id: id } } }))

export const addAgent = (body: { name: string; network_id: string }): Promise<Shapes['NewAgent']> =>
  ask(api.POST('/api/v1/agents', { body }))

export const changeAgent = (id: string, body: Shapes['AgentChange']): Promise<Shapes['Agent']> =>
  ask(api.PATCH('/api/v1/agents/{agent_id}', { params: { path: { agent_id: id } }, body }))

export const forgetAgent = (id: string) =>
  ask(api.DELETE('/api/v1/agents/{agent_id}', { params: { path: { agent_id: id } } }))
