import type { Snippet } from 'svelte'

/** A column of a list. */
export interface Column<Item> {
  id: string
  title: string
  cell: Snippet<[Item]>
  /** What the server calls the order by this column, where it has one. */
  sort?: string
  /** Numbers stand at the right. */
  end?: boolean
  /** Whether the title is only for those who cannot see the table. */
  unseen?: boolean
  /** Left out where there is little room. */
  minor?: boolean
  /** Shown only to who chooses it. */
  extra?: boolean
}
