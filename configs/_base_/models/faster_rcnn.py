# Faster R-CNN with FPN (arXiv:1506.01497, 1612.03144): Mask R-CNN without its mask branch.
_base_ = ['mask_rcnn.py']

model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
)
