"""Sparse targets as tensors, and their loss."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from .. import labels as arrays


class SparseTargets(NamedTuple):
    """Targets as lists of classes, with ``m`` classes for each: :class:`relabel.SparseTargets` as tensors.

    A DataLoader collates and pins them as any tuple of tensors. To collate single samples, all need the same ``m``: use ``top``.
    """

    ids: torch.Tensor
    """int64 ``[B, m]`` (``[B, m, p, p]`` with ``output_size``): class ids, each once, padded with -1."""
    probs: torch.Tensor
    """Probabilities of these classes, of the same shape, padded with 0."""
    rest: torch.Tensor
    """``[B]`` (``[B, p, p]``): total probability of all other classes, which share it equally."""

    @classmethod
    def one_hot(cls, classes: torch.Tensor, parts: tuple[int, ...] = ()) -> SparseTargets:
        """Returns targets of one class each, float32.

        Args:
            classes: int64 ``[B]``.
            parts: ``(p, p)`` for token labels.
        """
        ids = classes.reshape(-1, 1, *(1 for _ in parts)).expand(-1, 1, *parts)
        probs = torch.ones(ids.shape, device=classes.device, dtype=torch.float32)
        return cls(ids, probs, torch.zeros_like(probs[:, 0]))

    @classmethod
    def from_numpy(cls, targets: arrays.SparseTargets) -> SparseTargets:
        """Returns the targets of :meth:`relabel.Labels.pool_sparse` as tensors that share their memory."""
        return cls(*(torch.from_numpy(values) for values in targets))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> SparseTargets:
        """Returns the targets on a device."""
        return SparseTargets(*(values.to(device, non_blocking=non_blocking) for values in self))

    def pin_memory(self) -> SparseTargets:
        """Returns the targets in page-locked memory, from which copies to a GPU need not wait."""
        return SparseTargets(*(values.pin_memory() for values in self))

    def dense(self, num_classes: int) -> torch.Tensor:
        """Returns dense targets ``[B, num_classes]`` (``[B, num_classes, p, p]``) on the same device."""
        share = self._share(num_classes)
        dense = share.repeat_interleave(num_classes, 1)
        if self.ids.shape[1] == 0:
            return dense
        # Padding repeats the first class, or the share of class 0 if no class is listed.
        is_listed = self.ids >= 0
        ids = torch.where(is_listed, self.ids, self.ids[:, :1].clamp(min=0))
        first = torch.where(is_listed[:, :1], self.probs[:, :1], share)
        return dense.scatter_(1, ids, torch.where(is_listed, self.probs, first))

    def best(self, m: int) -> SparseTargets:
        """Returns the first ``m`` classes of each target, by decreasing probability. The probability of the others is added to the
        rest."""
        count, missing = self.ids.shape[1], max(0, m - self.ids.shape[1])
        padding = self.ids.new_full((len(self.ids), missing, *self.ids.shape[2:]), -1)
        return SparseTargets(
            torch.cat([self.ids[:, :m], padding], 1),
            torch.cat([self.probs[:, :m], padding.new_zeros(padding.shape, dtype=self.probs.dtype)], 1),
            self.rest if count <= m else self.rest + self.probs[:, m:].sum(1),
        )

    def selected(self, columns: torch.Tensor, num_classes: int) -> SparseTargets:
        """Returns the targets of some classes, divided by their sum; equal probabilities if it is 0.

        Args:
            columns: int64 ``[s]``: the class ids, each once. Ids of the result are positions in it.
            num_classes: Number of classes of the teacher.
        """
        # The last entry belongs to -1.
        positions = torch.full((num_classes + 1,), -1, device=self.ids.device)
        positions[columns] = torch.arange(len(columns), device=self.ids.device)
        ids = positions[self.ids]
        probs = self.probs.masked_fill(ids < 0, 0)
        rest = self._share(num_classes)[:, 0] * (len(columns) - (ids >= 0).sum(1))
        total = probs.sum(1) + rest
        is_empty = total <= 0
        divisor = total.masked_fill(is_empty, 1)
        ids = ids.masked_fill(is_empty[:, None], -1)
        return SparseTargets(ids, probs / divisor[:, None], (rest / divisor).masked_fill(is_empty, 1))._sorted()

    def prob_of(self, classes: torch.Tensor, num_classes: int) -> torch.Tensor:
        """Returns the probability of one class in each target, ``[B]`` (``[B, p, p]``). ``classes`` is int64 ``[B]``."""
        is_class = self.ids == classes.reshape(-1, *(1 for _ in self.ids.shape[1:]))
        return torch.where(is_class.any(1), (is_class * self.probs).sum(1), self._share(num_classes)[:, 0])

    def mixed(self, pasted: SparseTargets, pasted_share: torch.Tensor | float, num_classes: int) -> SparseTargets:
        """Returns ``(1 - pasted_share) * self + pasted_share * pasted`` with the classes of both, by decreasing probability.

        Args:
            pasted: Targets with the same batch and parts.
            pasted_share: A number, or a tensor that broadcasts to ``[B]`` (``[B, p, p]``).
            num_classes: Number of classes of the teacher.
        """
        share = torch.as_tensor(pasted_share, dtype=self.probs.dtype, device=self.probs.device).broadcast_to(self.rest.shape)[:, None]
        own, other = self._share(num_classes), pasted._share(num_classes)
        is_own, is_other = self.ids >= 0, pasted.ids >= 0
        # [B, own class, other class]
        same = (self.ids[:, :, None] == pasted.ids[:, None]) & is_own[:, :, None]
        in_other = torch.where(same.any(2), (same * pasted.probs[:, None]).sum(2), other)
        is_new = is_other & ~same.any(1)
        probs = torch.cat([
            torch.where(is_own, (1 - share) * self.probs + share * in_other, 0),
            torch.where(is_new, (1 - share) * own + share * pasted.probs, 0),
        ], 1)
        ids = torch.cat([self.ids, pasted.ids.masked_fill(~is_new, -1)], 1)
        absent_count = num_classes - (ids >= 0).sum(1)
        rest = ((1 - share) * own + share * other)[:, 0] * absent_count
        return SparseTargets(ids, probs, rest)._sorted()

    def _sorted(self) -> SparseTargets:
        """Returns the classes of each target by decreasing probability, padding last."""
        order = self.probs.masked_fill(self.ids < 0, -1).argsort(dim=1, descending=True, stable=True)
        return SparseTargets(self.ids.gather(1, order), self.probs.gather(1, order), self.rest)

    def _share(self, num_classes: int) -> torch.Tensor:
        """Returns the probability of each class that is not listed, ``[B, 1]`` (``[B, 1, p, p]``)."""
        absent_count = num_classes - (self.ids >= 0).sum(1, keepdim=True)
        return self.rest[:, None] / absent_count.clamp(min=1)


def soft_cross_entropy(
    logits: torch.Tensor, targets: SparseTargets, *, reduction: Literal["mean", "sum", "none"] = "mean"
) -> torch.Tensor:
    """Returns the loss of ``torch.nn.functional.cross_entropy(logits, targets.dense(classes))`` without the dense targets.

    Args:
        logits: ``[B, classes]`` (``[B, classes, p, p]`` for token labels).
        targets: Targets of the same batch and parts, on the same device.
        reduction: ``"mean"`` over all targets, ``"sum"``, or ``"none"``: the loss of each target, ``[B]`` (``[B, p, p]``).

    Raises:
        ValueError: If shapes do not match.
    """
    batch, parts = logits.shape[:1], logits.shape[2:]
    if logits.ndim < 2 or targets.rest.shape != batch + parts:
        raise ValueError(
            f"logits {list(logits.shape)} need targets with rest {list(batch + parts)}, got {list(targets.rest.shape)}"
        )
    num_classes = logits.shape[1]
    log_probs = torch.log_softmax(logits, 1, dtype=torch.promote_types(logits.dtype, torch.float32))
    share = targets._share(num_classes)
    above_share = torch.where(targets.ids >= 0, targets.probs - share, 0)
    listed = (log_probs.gather(1, targets.ids.clamp(min=0)) * above_share).sum(1)
    losses = -(listed + share[:, 0] * log_probs.sum(1))
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean", "sum" or "none", got {reduction!r}')
    return losses.mean() if reduction == "mean" else losses.sum()
