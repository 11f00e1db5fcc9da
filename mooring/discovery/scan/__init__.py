"""Who is on a network, and which of their ports are open.

The face of it, for whoever drives a scan (``cli/scan``, ``discovery/scan_run``)::

    seen = await asyncio.to_thread(local.see)
    here = plan.Here(seen.interfaces, seen.routes)
    planned = plan.permitted(targets, here, allowed)      # raises MooringError: what, why, remedy
    async with aclosing(Scanner(ScanOptions()).scan(planned, Depth.LIGHT)) as events:
        async for event in events:
            match event: ...

- ``plan`` (pure): ``permitted(targets, here, allowed, interface=None)`` gives a ``Plan``. No
  targets: the attached networks that make sense; ``Plan.left_out`` says which were not taken and
  why. ``Plan.blocks`` are what reports are made of: ``Block(cidr, subnet, asked, link)``,
  ``Block.whole``; ``Plan.block_of(ip)``.
- ``events`` (pure): what a scan tells, in this order: ``PhaseBegan("hosts", total)``, then
  ``HostFound(host)`` and ``Advanced(done, remaining_s)`` as they come, ``BlockAsked(cidr)`` for
  each block in which whoever was not found is not there; unless the depth is none
  ``PhaseBegan("ports", total)``, then ``PortsFound(ip, ports)`` with what is new,
  ``HostDone(ip, ports, all_open, sure)`` with all of one host, and ``Advanced``.
  ``HostFound`` comes again for the same address when more is known of it (names, a MAC): the later
  one is whole and takes the place of the earlier. ``Warned(what, why, remedy)`` may come at any
  time, each once.
- ``run.Scanner``: ``scan(plan, depth)`` is an asynchronous generator. Closing it, or cancelling
  whoever waits for it, ends the scan at once, in any phase: its threads end within 0.1 s.
- ``options.ScanOptions``: rates, ports that are left alone, the catalogue's usual ports.
- ``ports.looked_at(depth, options)``: the TCP ports of a depth as ranges, for ``Scan.looked_at``.

Nothing here asks a service what it is: that is ``discovery/probes``.
"""
