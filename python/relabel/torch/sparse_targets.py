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
        order = probs.masked_fill(ids < 0, -1).argsort(dim=1, descending=True, stable=True)
        return SparseTargets(ids.gather(1, order), probs.gather(1, order), rest)

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
